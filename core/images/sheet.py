"""Several pictures as one, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import PIL.Image

from mlcd.core.images.reading import Image

_GAP = 4


def draw_strip(images: Sequence[Image], *, height: int = 120) -> Image:
    """Pictures side by side, all of one height in pixels: RGB uint8 (height, W, 3).

    ValueError when there is none.
    """
    if not images:
        raise ValueError("expected at least one picture for a strip, got none")
    parts: list[Image] = []
    for image in images:
        width = max(1, round(image.shape[1] * height / image.shape[0]))
        small = PIL.Image.fromarray(image).resize((width, height), PIL.Image.Resampling.BICUBIC)
        parts += [np.asarray(small), np.full((height, _GAP, 3), 255, np.uint8)]
    strip: Image = np.concatenate(parts[:-1], axis=1)
    return strip
