"""A mask laid over its picture, to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image

from mlcd.core.files import atomic_path
from mlcd.core.images import Image
from mlcd.core.masks import Mask

COLOUR = (30, 220, 90)  # a green that photographs rarely have
_TINT, _DIM = 0.45, 0.6
_EDGE = 400  # pixels of the longer side for each pixel of the edge's width


def draw_overlay(image: Image, mask: Mask | None) -> Image:
    """The picture dimmed, the mask bright, tinted and edged: RGB uint8 (H, W, 3).

    Without a mask all is dimmed. ValueError for a mask of another size.
    """
    if mask is not None and mask.shape != image.shape[:2]:
        raise ValueError(f"a mask of {mask.shape} for a picture of {image.shape[:2]}")
    drawn = image * _DIM
    if mask is not None:
        colour = np.asarray(COLOUR, dtype=np.float64)
        drawn[mask] = (1 - _TINT) * image[mask] + _TINT * colour
        drawn[_edge(mask, 1 + max(mask.shape) // _EDGE)] = colour
    return drawn.round().astype(np.uint8)


def write_overlay(image: Image, mask: Mask | None, path: str | Path) -> None:
    """Draw it into a PNG file, atomically."""
    with atomic_path(path) as part:
        PIL.Image.fromarray(draw_overlay(image, mask)).save(part, format="PNG")


def _edge(mask: Mask, width: int) -> Mask:
    """What of a mask is nearer than `width` pixels to what is not mask, the border apart."""
    inside = mask.copy()
    for _ in range(width):
        smaller = inside.copy()
        for axis in (0, 1):
            for step in (-1, 1):
                smaller &= _shifted(inside, axis, step)
        inside = smaller
    return mask & ~inside


def _shifted(mask: Mask, axis: int, step: int) -> Mask:
    """Moved by one pixel; what comes in from outside is set, so that a border is no edge."""
    moved = np.roll(mask, step, axis)
    moved[(slice(None),) * axis + (0 if step > 0 else -1,)] = True
    return moved
