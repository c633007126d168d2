"""A part of a picture as a query."""

from __future__ import annotations

import math

import numpy as np

from mlcd.core.images import Image

Region = tuple[float, float, float, float]
"""A box: x0, y0, x1, y1 in pixels of the upright picture, x1 and y1 outside."""


def crop_region(image: Image, region: Region) -> Image:
    """The pixels that the box touches: (H, W, 3) -> (h, w, 3).

    ValueError when the box is empty or reaches outside of the picture.
    """
    height, width = image.shape[:2]
    if len(region) != 4 or not all(math.isfinite(value) for value in region):
        raise ValueError(f"region: expected x0, y0, x1, y1 in pixels, got {region}")
    x0, y0, x1, y1 = region
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise ValueError(
            f"region {x0:g},{y0:g},{x1:g},{y1:g}: expected x0 < x1 and y0 < y1 inside of a picture "
            f"{width} wide and {height} high"
        )
    rows = slice(math.floor(y0), math.ceil(y1))
    columns = slice(math.floor(x0), math.ceil(x1))
    return np.ascontiguousarray(image[rows, columns])
