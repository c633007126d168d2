"""From a picture to the pixels that a tower takes: resize, centre crop, normalise.

Computes what Transformers' `CLIPImageProcessorPil` computes, and reads and writes its settings
(`preprocessor_config.json`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from mlcd.core.images.preprocess_settings import (
    CLIP_MEAN,
    CLIP_STD,
    RESAMPLE_CODES,
    Resample,
    Resize,
    read_settings,
)
from mlcd.core.images.reading import Image, ImageSource, read_picture

if TYPE_CHECKING:
    import torch

# A picture is never resized whole to more pixels than this (64 MB): for a tower of 224 it would be
# over 300 times as long as wide.
_WHOLE_PIXELS = 1 << 24

_TORCH_FILTERS = ("bilinear", "bicubic")

_FILTER_RADIUS: dict[Resample, float] = {"lanczos": 3.0, "bilinear": 1.0, "bicubic": 2.0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocess:
    """Picture to pixels: uint8 (H, W, 3) -> float32 (3, S, S) with S = `size`.

    The defaults are CLIP's, which every published tower was trained with: shorter side to `size`
    (bicubic), centre crop, divide by 255, subtract `mean`, divide by `std`. A picture that is
    smaller than the crop after resizing is centred on black, as Transformers does.
    """

    size: int
    resize: Resize = "shortest_edge"
    """What is brought to `resize_to`: the shorter side, both sides, or nothing."""
    resize_to: int | None = None
    """Length in pixels before the crop; None is `size`."""
    resample: Resample = "bicubic"
    rescale_factor: float = 1 / 255
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD

    def __post_init__(self) -> None:
        for name in ("size", "resize_to"):
            length = getattr(self, name)
            if length is not None and (type(length) is not int or length < 1):
                raise ValueError(f"{name} must be a whole number of pixels > 0, got {length!r}")
        for name, kinds in (("resize", get_args(Resize)), ("resample", get_args(Resample))):
            if getattr(self, name) not in kinds:
                raise ValueError(
                    f"{name} must be one of {', '.join(kinds)}, got {getattr(self, name)!r}"
                )
        if self.resize == "none" and self.resize_to is not None:
            raise ValueError("resize_to has no meaning with resize='none'; leave it out")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if len(values) != 3 or not all(math.isfinite(value) for value in values):
                raise ValueError(f"{name} must be three numbers, got {values!r}")
        if not all(value > 0 for value in self.std) or not self.rescale_factor > 0:
            raise ValueError(
                f"std and rescale_factor must be > 0, got {self.std!r} and {self.rescale_factor!r}"
            )

    def __call__(
        self,
        image: ImageSource,
        *,
        out: NDArray[np.float32] | None = None,
        is_exact: bool = True,
    ) -> NDArray[np.float32]:
        """The pixels of one picture, float32 (3, S, S), in `out` if given.

        Pillow resizes, as in Transformers. `is_exact=False` lets torch shrink instead, in a third
        of the time: one value in 300 is then off by 1 of 255. `ImageError` when the picture cannot
        be read.
        """
        cropped = self._crop(read_picture(image), is_exact).transpose(2, 0, 1)  # (3, S, S) uint8
        pixels = np.empty(cropped.shape, dtype=np.float32) if out is None else out
        mean = np.asarray(self.mean, dtype=np.float32)[:, None, None]
        std = np.asarray(self.std, dtype=np.float32)[:, None, None]
        np.multiply(cropped, np.float32(self.rescale_factor) / std, out=pixels)
        pixels -= mean / std
        return pixels

    def at_size(self, size: int) -> Preprocess:
        """The same part of the picture, as `size` pixels a side."""
        target = self.resize_to and max(1, round(self.resize_to * size / self.size))
        return replace(self, size=size, resize_to=target)

    def batch(self, images: Sequence[ImageSource]) -> torch.Tensor:
        """The pixels of several pictures, float32 (B, 3, S, S)."""
        import torch  # here, so that reading pictures needs no torch

        pixels = np.empty((len(images), 3, self.size, self.size), dtype=np.float32)
        for image, row in zip(images, pixels, strict=True):
            self(image, out=row)
        return torch.from_numpy(pixels)

    def crop(self, image: ImageSource) -> Image:
        """Resized and centre-cropped, before any arithmetic: uint8 (S, S, 3)."""
        return np.array(self._crop(read_picture(image), is_exact=True))

    def _crop(self, picture: PIL.Image.Image, is_exact: bool) -> Image:
        width, height = self._resized_shape(*picture.size)
        columns = _kept(picture.width, width, self.size)
        rows = _kept(picture.height, height, self.size)
        if self.resize == "none":
            kept = np.asarray(picture)[rows.part, columns.part]
        elif width * height > _WHOLE_PIXELS:
            kept = np.asarray(self._resample_part(picture, columns, rows))
        elif (
            not is_exact
            and self.resample in _TORCH_FILTERS
            and max(width / picture.width, height / picture.height) <= 1 / 2
            and picture.height <= 2 * picture.width  # beyond, Pillow 13 may take rows first
        ):
            kept = self._shrink(picture, width, height)[rows.part, columns.part]
        else:
            resized = picture.resize((width, height), RESAMPLE_CODES[self.resample])
            kept = np.asarray(resized)[rows.part, columns.part]
        if kept.shape == (self.size, self.size, 3):
            return kept
        cropped = np.zeros((self.size, self.size, 3), dtype=np.uint8)
        cropped[rows.place, columns.place] = kept
        return cropped

    def _resized_shape(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after resizing and before the crop."""
        target = self.resize_to or self.size
        if self.resize == "none":
            return width, height
        if self.resize == "stretch":
            return target, target
        # The longer side is cut down to a whole number, not rounded, as Transformers does.
        if width <= height:
            return target, int(target * height / width)
        return int(target * width / height), target

    def _shrink(self, picture: PIL.Image.Image, width: int, height: int) -> Image:
        """The picture at a smaller size, by torch: uint8 (H, W, 3).

        It filters as Pillow does, columns first, but its weights have 16 bits.
        """
        import torch  # here, so that reading pictures needs no torch

        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
        resized = torch.nn.functional.interpolate(
            pixels, size=(height, width), mode=self.resample, antialias=True
        )
        return np.asarray(resized[0].permute(1, 2, 0).numpy())

    def _resample_part(
        self, picture: PIL.Image.Image, columns: _Kept, rows: _Kept
    ) -> PIL.Image.Image:
        """What the crop keeps of the resized picture, without resizing the rest of it.

        Equal to resizing the whole, but for a rounding here and there (Pillow 13 may take the rows
        of a tall picture first, and where a filter overshoots the order shows). It serves threads
        that are hundreds of times as long as wide, which would not fit in memory.
        """
        # Pillow takes the box in float32: in coordinates of a window that was cut out (with all
        # the pixels that the filter reaches) it is precise for a picture of any length.
        radius = _FILTER_RADIUS[self.resample]
        left, right = columns.window(picture.width, radius)
        top, bottom = rows.window(picture.height, radius)
        return (
            picture.crop((left, top, right, bottom))
            .resize(
                (columns.length, bottom - top),
                RESAMPLE_CODES[self.resample],
                box=(columns.start - left, 0, columns.stop - left, bottom - top),
            )
            .resize(
                (columns.length, rows.length),
                RESAMPLE_CODES[self.resample],
                box=(0, rows.start - top, columns.length, rows.stop - top),
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """The settings in Hugging Face's words: a whole `preprocessor_config.json`."""
        target = self.resize_to or self.size
        edges = (
            {"height": target, "width": target}
            if self.resize == "stretch"
            else {"shortest_edge": target}
        )
        return {
            "image_processor_type": "CLIPImageProcessor",
            "do_convert_rgb": True,
            "do_resize": self.resize != "none",
            "size": edges,
            "resample": int(RESAMPLE_CODES[self.resample]),
            "do_center_crop": True,
            "crop_size": {"height": self.size, "width": self.size},
            "do_rescale": True,
            "rescale_factor": self.rescale_factor,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
        }

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Preprocess:
        """The settings from Hugging Face's words, with CLIP's defaults for what is left out.

        ValueError, naming the key, for a processor that is not CLIP's, for a setting that this
        class cannot express (another shape than a square, padding), and for an unknown key.
        """
        return cls(**read_settings(settings))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kept:
    """What the crop keeps along one axis."""

    part: slice
    """Of the resized picture."""
    place: slice
    """Where it lies in the crop: all of it, but for a picture that is smaller than the crop."""
    start: float
    """Where it begins and ends in the source picture, in its pixels."""
    stop: float

    @property
    def length(self) -> int:
        """In pixels of the resized picture."""
        return int(self.part.stop - self.part.start)

    def window(self, source: int, radius: float) -> tuple[int, int]:
        """First and past-last source pixel that a filter of this radius reaches, and some more."""
        reach = radius * max(1.0, (self.stop - self.start) / self.length) + 2
        return max(0, math.floor(self.start - reach)), min(source, math.ceil(self.stop + reach))


def _kept(source: int, resized: int, crop: int) -> _Kept:
    """The centre `crop` pixels of `source` pixels resized to `resized`, rounded as Transformers."""
    length = min(resized, crop)
    first = max(0, (resized - crop) // 2)
    offset = math.ceil((crop - length) / 2)
    return _Kept(
        part=slice(first, first + length),
        place=slice(offset, offset + length),
        start=first * source / resized,
        stop=(first + length) * source / resized,
    )
