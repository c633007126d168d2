"""COCO's `segmentation` of a thing, polygons or run lengths, as run lengths of its own picture.

Polygons cover the pixels that pycocotools gives them (`rleFrPoly` in its maskApi.c), which is not
needed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcd.core.rle import Rle, read_runs, rle_shape

Segmentation = Sequence[Any] | Mapping[str, Any]
"""A list of polygons [x, y, x, y, ...], run lengths, or a list of run lengths."""

_FINE = 5  # parts of a pixel's side that corners are rounded to


def coco_runs(segmentation: Any, shape: tuple[int, int]) -> list[Rle]:
    """Run lengths of (H, W) pixels, one for each polygon; the thing is all of them together.

    A polygon of two points encloses nothing and is left out beside others, as ReLA does
    (pycocotools would take a first one for a box); an empty segmentation covers nothing.
    ValueError for a segmentation that has no other polygons, for anything else than numbers, and
    for run lengths of another size than (H, W).
    """
    parts = [segmentation] if isinstance(segmentation, Mapping) else segmentation
    if not isinstance(parts, Sequence) or isinstance(parts, (str, bytes)):
        raise ValueError(f"segmentation: expected polygons or run lengths, got {parts!r:.60}")
    if parts and not isinstance(parts[0], (Mapping, Sequence)):
        raise ValueError("segmentation: expected a list of polygons, got one polygon; put it in []")
    runs: list[Rle] = []
    polygons: list[NDArray[np.float64]] = []
    for part in parts:
        if isinstance(part, Mapping):
            runs.append(_own_runs(part, shape))
        else:
            polygons.append(_corners(part))
    closed = [corners for corners in polygons if len(corners) >= 3]
    if polygons and not closed and not runs:
        raise ValueError(
            f"segmentation: a polygon of {len(polygons[0])} points encloses nothing: expected at "
            "least three points, that is six numbers"
        )
    return runs + [polygon_runs(corners, shape) for corners in closed]


def count_short_polygons(segmentation: Any) -> int:
    """How many polygons of fewer than three points there are."""
    if isinstance(segmentation, Mapping):
        return 0
    return sum(1 for part in segmentation if not isinstance(part, Mapping) and len(part) < 6)


def polygon_runs(corners: NDArray[np.float64], shape: tuple[int, int]) -> Rle:
    """The pixels of (H, W) that a closed polygon covers: (N, 2) of x, y -> run lengths."""
    height, width = shape
    start = np.trunc(_FINE * corners + 0.5).astype(np.int64)  # (N, 2)
    end = np.roll(start, -1, axis=0)
    length = np.abs(end - start)
    is_flat = length[:, 0] >= length[:, 1]
    steps = length.max(axis=1)
    # Each edge is walked along its longer axis, and always upwards, so that two polygons that
    # share an edge share its pixels.
    is_back = np.where(is_flat, start[:, 0] > end[:, 0], start[:, 1] > end[:, 1])
    low = np.where(is_back[:, None], end, start)
    high = np.where(is_back[:, None], start, end)
    rise = np.where(is_flat, high[:, 1] - low[:, 1], high[:, 0] - low[:, 0])
    slope = rise / np.maximum(steps, 1)
    edge = np.repeat(np.arange(len(steps)), steps + 1)
    at = np.arange(len(edge)) - np.repeat(np.cumsum(steps + 1) - steps - 1, steps + 1)
    at = np.where(is_back[edge], steps[edge] - at, at)
    across = slope[edge] * at
    straight = np.stack([low[edge, 0] + at, _whole(low[edge, 1] + across)])
    steep = np.stack([_whole(low[edge, 0] + across), low[edge, 1] + at])
    x, y = np.where(is_flat[edge], straight, steep)  # fine points along the whole border
    # Where the border goes past the middle of a column, that column turns from out to in or back.
    left, top = np.minimum(x[1:], x[:-1]), np.minimum(y[1:], y[:-1])
    column, fine = np.divmod(left, _FINE)
    is_turn = (x[1:] != x[:-1]) & (fine == _FINE // 2) & (column >= 0) & (column < width)
    row = np.clip((top[is_turn] + _FINE // 2) // _FINE, 0, height)
    turns = np.sort(column[is_turn] * height + row)
    runs = np.diff(np.concatenate([[0], turns, [height * width]]))
    return {"size": [height, width], "counts": runs.tolist()}


def _whole(value: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rounded as C rounds in `(int)(value + 0.5)`."""
    return np.trunc(value + 0.5).astype(np.int64)


def _own_runs(rle: Mapping[str, Any], shape: tuple[int, int]) -> Rle:
    if rle_shape(rle) != shape:
        height, width = rle_shape(rle)
        raise ValueError(
            f"run lengths of {width} x {height} pixels for a picture of {shape[1]} x {shape[0]}"
        )
    read_runs(rle)
    return rle


def _corners(polygon: Any) -> NDArray[np.float64]:
    try:
        numbers = np.asarray(polygon, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"polygon: expected numbers, got {polygon!r:.60}") from error
    if numbers.ndim != 1 or len(numbers) % 2 or not np.isfinite(numbers).all():
        raise ValueError(f"polygon: expected pairs of x and y in one list, got {polygon!r:.60}")
    return numbers.reshape(-1, 2)
