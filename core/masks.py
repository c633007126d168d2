"""Masks as arrays and as picture files. Run lengths, as COCO has them, are in `rle.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from mlcd.core.files import atomic_path
from mlcd.core.images import ImageSource
from mlcd.core.images.reading import read_picture

Mask = NDArray[np.bool_]
"""bool (H, W)."""

_SET = 128  # of 255: what a picture of a mask must have at least to count as set


def read_mask(source: ImageSource, shape: tuple[int, int]) -> Mask:
    """The mask in a picture file, set where it is bright, of a picture of (H, W) pixels.

    `ImageError` when it cannot be read, ValueError when it has another size than its picture.
    """
    mask = np.asarray(read_picture(source).convert("L")) >= _SET
    if mask.shape != shape:
        name = f"{source}: " if isinstance(source, (str, Path)) else ""
        raise ValueError(
            f"{name}a mask of {mask.shape[1]} x {mask.shape[0]} pixels for a picture of "
            f"{shape[1]} x {shape[0]}: a mask has the size of its picture"
        )
    return mask


def write_mask(mask: Mask, path: str | Path) -> None:
    """Write a PNG that is white where the mask is set, atomically."""
    with atomic_path(path) as part:
        PIL.Image.fromarray(mask.astype(np.uint8) * 255).save(part, format="PNG")


def mask_box(mask: Mask) -> tuple[float, float, float, float] | None:
    """The box around what is set, xyxy in pixels, right and bottom past the last; None if empty."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
