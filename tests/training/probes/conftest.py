"""A toy set whose classes differ in colour, and features of its pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from mlcd.core.datasets.image_folder import read_image_folder
from mlcd.training.probes.features import Features, PixelConfig, RawPixels
from mlcd.training.probes.probe_set import ProbeSet

COLORS = {"blue": (40, 60, 200), "green": (40, 200, 60), "red": (200, 60, 40)}


def draw_classes(root: Path, *, count: int, seed: int) -> Path:
    """`count` noisy pictures of each colour, every fifth nearly in the colour of another class."""
    draw = np.random.default_rng(seed)
    names = sorted(COLORS)
    for label, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for number in range(count):
            color = np.array(COLORS[name])
            if number % 5 == 4:
                color = (color + 3 * np.array(COLORS[names[label - 1]])) // 4
            pixels = color + draw.normal(0, 25, (8, 8, 3))
            image = PIL.Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(root / name / f"{number:02}.png")
    return root


@pytest.fixture
def probe_set(tmp_path: Path) -> ProbeSet:
    """Three classes: 20 pictures each to learn from, 5 each to test on."""
    train = draw_classes(tmp_path / "train", count=20, seed=0)
    test = draw_classes(tmp_path / "test", count=5, seed=1)
    return ProbeSet(read_image_folder(train), read_image_folder(test))


def pixel_features(*, is_normalized: bool, size: int = 4) -> Features:
    return Features(RawPixels(PixelConfig(size=size)), is_normalized=is_normalized)


@pytest.fixture
def normalized() -> Features:
    return pixel_features(is_normalized=True)


@pytest.fixture
def unnormalized() -> Features:
    return pixel_features(is_normalized=False)
