"""A training picture: a random part of it, at the tower's size, sometimes mirrored."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import PIL.Image

from mlcd.core.images import Image, ImageSource, read_image

_RATIO = (3 / 4, 4 / 3)
_TRIES = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """Random resized crop (Szegedy et al. 2015, sec. 6) and mirror."""

    min_area: float = 0.5
    """Smallest share of the picture that is kept; 1 keeps the largest square in its centre."""
    mirror_share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.min_area <= 1 or not 0 <= self.mirror_share <= 1:
            raise ValueError(
                "expected min_area in (0, 1] and mirror_share in [0, 1], got "
                f"{self.min_area} and {self.mirror_share}"
            )

    def __call__(self, source: ImageSource, size: int, random: np.random.Generator) -> Image:
        """RGB uint8 (S, S, 3), the same for the same `random`; `ImageError` as `read_image`."""
        picture = PIL.Image.fromarray(read_image(source))
        box = self._box(picture.width, picture.height, random)
        picture = picture.resize((size, size), PIL.Image.Resampling.BICUBIC, box=box)
        pixels = np.asarray(picture)
        return pixels[:, ::-1].copy() if random.random() < self.mirror_share else pixels.copy()

    def _box(
        self, width: int, height: int, random: np.random.Generator
    ) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of what is kept."""
        for _ in range(_TRIES if self.min_area < 1 else 0):
            area = width * height * random.uniform(self.min_area, 1)
            ratio = math.exp(random.uniform(math.log(_RATIO[0]), math.log(_RATIO[1])))
            across, down = math.sqrt(area * ratio), math.sqrt(area / ratio)
            if across <= width and down <= height:
                left, top = random.uniform(0, width - across), random.uniform(0, height - down)
                return left, top, left + across, top + down
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return left, top, left + side, top + side
