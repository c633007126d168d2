"""From the tokens of a picture's tiles to the tokens that stand for the picture in the sequence.

Follows the published `llava/model/llava_arch.py`; the counts here and the tokens there are made
from the same few functions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from mlcd.core.language.config import ImageLayout, UnpadRule, VlmConfig
from mlcd.core.language.pinpoints import Size, best_resolution
from mlcd.core.language.tiles import Tiles

_TOLERANCE = 1.1
"""A plane is resized to `max_tiles` only when a side is over this many times too long."""


def merge_tiles(
    features: Tensor, tiles: Tiles, config: VlmConfig, newline: Tensor | None
) -> Tensor:
    """The tokens of one picture, from those of its tiles: (1 + T, P, D), newline (D,) -> (N, D).

    A video's frames go through `merge_frames`.
    """
    if tiles.is_video:
        return merge_frames(features, config, newline)
    if newline is None:
        return features.flatten(0, 1)
    base = features[0]
    if tiles.grid is None:
        return torch.cat([base, newline[None]])
    side, (columns, rows) = config.tile_grid, tiles.grid
    plane = features[1:].unflatten(1, (side, side)).unflatten(0, (rows, columns))
    plane = plane.transpose(1, 2).flatten(2, 3).flatten(0, 1)  # (rows * g, columns * g, D)
    kept_rows, kept_columns = kept_region(tiles.size, plane.shape[:2], config.unpad_rule)
    plane = plane[kept_rows, kept_columns]
    shape = _limited((plane.shape[0], plane.shape[1]), config)
    return torch.cat([base, _with_newlines(_resized(plane[None], shape), newline)[0]])


def merge_frames(features: Tensor, config: VlmConfig, newline: Tensor | None) -> Tensor:
    """The tokens of a video's frames, pooled 2 x 2: (F, P, D) -> (F * (g/2) * (g/2 + 1), D).

    g/2 is rounded up; without a newline (`flat`) there is no column for it.
    """
    side = config.tile_grid
    half = math.ceil(side / 2)
    pooled = _resized(features.unflatten(1, (side, side)), (half, half))
    if newline is None:
        return pooled.flatten(0, 2)
    return _with_newlines(pooled, newline).flatten(0, 1)


def num_image_tokens(
    size: Size, config: VlmConfig, *, layout: ImageLayout | None = None, is_video: bool = False
) -> int:
    """How many tokens a picture of (width, height) takes, base and newlines included.

    As one of a few padded pictures with `layout="pad"`, as a frame with `is_video`.
    """
    side, newline = config.tile_grid, int(config.has_newline)
    if is_video:
        half = math.ceil(side / 2)
        return half * (half + newline)
    if (layout or config.image_layout) != "anyres":
        return side * side + newline
    width, height = best_resolution(size, config.pinpoints)
    columns, rows = width // config.tile_size, height // config.tile_size
    if not newline:
        return (1 + columns * rows) * side * side
    kept = kept_region(size, (rows * side, columns * side), config.unpad_rule)
    kept_rows, kept_columns = _limited((_length(kept[0]), _length(kept[1])), config)
    return side * side + kept_rows * (kept_columns + 1)


def kept_region(size: Size, plane: tuple[int, ...], rule: UnpadRule) -> tuple[slice, slice]:
    """Rows and columns of a plane (rows, columns) that show a picture of (width, height).

    The published code truncates the length of the shorter side; Transformers rounds it to seven
    digits before. They differ at 376 x 799.
    """
    width, height = size
    rows, columns = plane
    digits = 7 if rule == "round" else None
    # Grouped as published: h * (CW / w) and (h * CW) / w are not the same number.
    if width / height > columns / rows:
        padding = (rows - _whole(height * (columns / width), digits)) // 2
        return slice(padding, rows - padding), slice(0, columns)
    padding = (columns - _whole(width * (rows / height), digits)) // 2
    return slice(0, rows), slice(padding, columns - padding)


def _whole(length: float, digits: int | None) -> int:
    return int(length if digits is None else round(length, digits))


def _length(part: slice) -> int:
    return int(part.stop - part.start)


def _limited(shape: tuple[int, int], config: VlmConfig) -> tuple[int, int]:
    """Rows and columns of a plane after the limit on its tokens."""
    if config.max_tiles is None:
        return shape
    rows, columns = shape
    times = math.sqrt(rows * columns / (config.max_tiles * config.tile_grid**2))
    return (int(rows // times), int(columns // times)) if times > _TOLERANCE else shape


def _resized(planes: Tensor, shape: tuple[int, int]) -> Tensor:
    """Bilinear, where the size changes: (F, h, w, D) -> (F, h', w', D)."""
    if tuple(planes.shape[1:3]) == shape:
        return planes
    channels_first = planes.permute(0, 3, 1, 2)
    return interpolate(channels_first, shape, mode="bilinear").permute(0, 2, 3, 1)


def _with_newlines(planes: Tensor, newline: Tensor) -> Tensor:
    """A newline token at the end of each row: (F, h, w, D) -> (F, h * (w + 1), D)."""
    column = newline.expand(*planes.shape[:2], 1, -1)
    return torch.cat([planes, column], dim=2).flatten(1, 2)
