"""Pictures to the tiles that the tower sees: one, padded or cropped, or a base and its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import PIL.Image
from torch import Tensor

from mlcd.core.images import Image, ImageSource
from mlcd.core.images.reading import read_picture
from mlcd.core.language.config import ImageLayout, VlmConfig
from mlcd.core.language.pinpoints import Size, best_resolution, fitted_size

MOST_PADDED = 8
"""As published: more pictures than these in one conversation are frames, pooled."""

Arrangement = Literal["alone", "padded", "frame"]
"""Of a picture in a conversation: by the config's layout, as one padded tile, or pooled."""


@dataclass(frozen=True, slots=True)
class Tiles:
    """One picture as the tower sees it, or the frames of a video."""

    pixels: Tensor
    """(1 + T, 3, S, S), the base (the whole picture) first; (F, 3, S, S) of a video's frames."""
    size: Size
    """(width, height) of the picture itself."""
    grid: tuple[int, int] | None = None
    """(columns, rows) of the T tiles, row by row; None where the base is all."""
    is_video: bool = False
    """Whether the tokens of each frame are pooled 2 x 2."""
    seen: Tensor | None = None
    """(1 + T, P, tower width): what the tower said of the tiles, where that was kept; then `pixels`
    are not looked at again.
    """

    def __len__(self) -> int:
        """How many tiles, the base among them."""
        return len(self.pixels if self.seen is None else self.seen)


def cut_images(images: Sequence[ImageSource], config: VlmConfig) -> list[Tiles]:
    """The tiles of all pictures of one conversation, laid out as the config says for so many.

    `ImageError` names the first picture that cannot be read.
    """
    arrangement = arrangement_of(len(images), config)
    return [cut_image(image, config, arrangement) for image in images]


def arrangement_of(number: int, config: VlmConfig) -> Arrangement:
    """How each of `number` pictures in one conversation is laid out."""
    if number == 1 or config.several_images == "tiled":
        return "alone"
    return "padded" if number <= MOST_PADDED else "frame"


def cut_image(image: ImageSource, config: VlmConfig, arrangement: Arrangement) -> Tiles:
    """The tiles of one picture of a conversation."""
    if arrangement == "frame":
        return cut_frames([image], config)
    return cut_tiles(image, config, layout="pad" if arrangement == "padded" else None)


def cut_tiles(image: ImageSource, config: VlmConfig, *, layout: ImageLayout | None = None) -> Tiles:
    """The tiles of one picture, in the config's layout or another one: (1 + T, 3, S, S)."""
    picture = read_picture(image)
    preprocess = config.tower.preprocess
    layout = layout or config.image_layout
    if layout == "square":
        return Tiles(preprocess.batch([np.asarray(picture)]), picture.size)
    if layout == "pad":
        return Tiles(preprocess.batch([_padded(picture, config)]), picture.size)
    target = best_resolution(picture.size, config.pinpoints)
    side = preprocess.resize_to or preprocess.size
    base = np.asarray(picture.resize((side, side)))  # without its aspect, as published
    parts = _parts(_laid_on_black(picture, target), config.tile_size)
    grid = target[0] // config.tile_size, target[1] // config.tile_size
    return Tiles(preprocess.batch([base, *parts]), picture.size, grid)


def cut_frames(images: Sequence[ImageSource], config: VlmConfig) -> Tiles:
    """The frames of a video, one padded tile each: (F, 3, S, S). The size is the first frame's."""
    if not images:
        raise ValueError("a video needs at least one frame, got none")
    pictures = [read_picture(image) for image in images]
    padded = [_padded(picture, config) for picture in pictures]
    return Tiles(config.tower.preprocess.batch(padded), pictures[0].size, is_video=True)


# Parts go on as arrays, never as Pillow pictures: those would carry the EXIF orientation along and
# be turned a second time.


def _padded(picture: PIL.Image.Image, config: VlmConfig) -> Image:
    """A square around the picture in the colour of the mean."""
    side = max(picture.size)
    red, green, blue = (int(255 * channel) for channel in config.tower.preprocess.mean)
    square = PIL.Image.new("RGB", (side, side), (red, green, blue))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return np.asarray(square)


def _laid_on_black(picture: PIL.Image.Image, target: Size) -> Image:
    """The picture in a canvas of the target size, as large as it goes, in the middle."""
    width, height = fitted_size(picture.size, target)
    canvas = PIL.Image.new("RGB", target)
    place = (target[0] - width) // 2, (target[1] - height) // 2
    canvas.paste(picture.resize((width, height)), place)
    return np.asarray(canvas)


def _parts(canvas: Image, side: int) -> list[Image]:
    """Square parts, row by row: (rows * S, columns * S, 3) -> (S, S, 3) each."""
    return [
        canvas[top : top + side, left : left + side]
        for top in range(0, canvas.shape[0], side)
        for left in range(0, canvas.shape[1], side)
    ]
