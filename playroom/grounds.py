"""Draws grounds: plain, gradient, stripes, checks, noise, patches, or a window of a photograph."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlcd.core.images import read_image
from mlcd.playroom.scenes import Ground

Canvas = NDArray[np.float32]
"""float32 (H, W, 3), 0 to 255."""


def paint_ground(ground: Ground, width: int, height: int) -> Canvas:
    """Draw `ground` on a new canvas, float32 (H, W, 3)."""
    if ground.photo is not None:
        return _paint_photo(ground.photo, ground.window, width, height)
    colours = np.asarray(ground.colours, np.float32)  # (C, 3)
    if ground.kind == "plain" or len(colours) == 1:
        return np.broadcast_to(colours[0], (height, width, 3)).copy()
    short = min(width, height)
    angle = np.deg2rad(ground.angle_deg)
    x = np.arange(width, dtype=np.float32)[None, :]
    y = np.arange(height, dtype=np.float32)[:, None]
    along = (x * np.cos(angle) + y * np.sin(angle)) / short  # (H, W)
    if ground.kind == "gradient":
        return _blend(colours, (along - along.min()) / max(float(np.ptp(along)), 1e-6))
    if ground.kind == "noise":
        return _blend(colours, _noise(ground, width, height))
    if ground.kind == "stripes":
        index = np.floor(along / ground.scale).astype(int)
    elif ground.kind == "checks":
        across = (-x * np.sin(angle) + y * np.cos(angle)) / short
        index = (np.floor(along / ground.scale) + np.floor(across / ground.scale)).astype(int)
    else:
        index = _patches(ground, width, height)
    return np.asarray(colours[index % len(colours)], np.float32)


def _blend(colours: NDArray[np.float32], share: NDArray[np.float32]) -> Canvas:
    """Interpolate along a row of colours: (C, 3), share (H, W) in 0..1 -> (H, W, 3)."""
    position = share * (len(colours) - 1)
    low = np.clip(position.astype(int), 0, len(colours) - 2)
    rest = (position - low)[..., None].astype(np.float32)
    return np.asarray(colours[low] * (1 - rest) + colours[low + 1] * rest)


def _noise(ground: Ground, width: int, height: int) -> NDArray[np.float32]:
    """Smooth noise of four octaves, (H, W) stretched to 0..1."""
    random = np.random.default_rng(ground.seed)
    total = np.zeros((height, width), np.float32)
    cells = max(1.0, 1.0 / ground.scale)
    weight = 1.0
    for _ in range(4):
        side = int(np.ceil(cells)) + 2
        grid = Image.fromarray(random.random((side, side), dtype=np.float32))
        window = (0.5, 0.5, 0.5 + cells, 0.5 + cells)
        octave = grid.resize((width, height), Image.Resampling.BICUBIC, box=window)
        total += weight * np.asarray(octave)
        cells *= 2
        weight *= 0.5
    total -= total.min()
    return total / max(float(total.max()), 1e-6)


def _patches(ground: Ground, width: int, height: int) -> NDArray[np.int64]:
    """Cells of the nearest of some random points, (H, W) of indices."""
    random = np.random.default_rng(ground.seed)
    count = int(np.clip(1 / ground.scale**2, 3, 60))
    points = random.random((count, 2), dtype=np.float32) * (width, height)
    x = np.arange(width, dtype=np.float32)[None, :, None]
    y = np.arange(height, dtype=np.float32)[:, None, None]
    distance = (x - points[:, 0]) ** 2 + (y - points[:, 1]) ** 2  # (H, W, points)
    return np.asarray(distance.argmin(axis=2))


def _paint_photo(
    path: Path, window: tuple[float, float, float, float], width: int, height: int
) -> Canvas:
    photo = _photo(path)
    x0, y0, x1, y1 = window
    box = (x0 * photo.width, y0 * photo.height, x1 * photo.width, y1 * photo.height)
    drawn = photo.resize((width, height), Image.Resampling.BICUBIC, box=box, reducing_gap=2.0)
    return np.asarray(drawn, np.float32)


@lru_cache(maxsize=64)
def _photo(path: Path) -> Image.Image:
    """The photograph, at most 1,024 pixels wide or high, since scenes are small."""
    photo = Image.fromarray(read_image(path))
    photo.thumbnail((1024, 1024), Image.Resampling.LANCZOS)
    return photo
