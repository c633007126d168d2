"""A tiny tower with random weights, and folders of pictures that it tells apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from mlcd.apps.retrieval import Gallery
from mlcd.core.images import Preprocess
from mlcd.core.towers import TowerConfig, VisionTower


def tiny_tower(seed: int = 0, *, image_size: int = 32) -> VisionTower:
    """A tower of the rope2d form with random weights, 32 numbers an embedding."""
    config = TowerConfig(
        form="rope2d",
        image_size=image_size,
        patch_size=8,
        width=32,
        depth=2,
        num_heads=2,
        mlp_width=64,
        activation="gelu",
        preprocess=Preprocess(size=image_size),
    )
    torch.manual_seed(seed)
    tower = VisionTower(config).eval()
    with torch.no_grad():
        for parameter in tower.parameters():
            parameter.mul_(8)  # the usual small weights would make all embeddings alike
    tower.name = f"tiny-{seed}"
    return tower


def draw(path: Path, seed: int) -> Path:
    """A picture of a few coloured patches, the same for the same seed."""
    patches = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(patches).resize((50, 40), PIL.Image.Resampling.NEAREST).save(path)
    return path


@pytest.fixture(scope="session")
def tower() -> VisionTower:
    return tiny_tower()


@pytest.fixture(scope="session")
def other_tower() -> VisionTower:
    return tiny_tower(seed=1)


@pytest.fixture
def picture() -> Callable[[Path, int], Path]:
    return draw


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve readable pictures in `photos`, some in a folder below it."""
    for number in range(12):
        below = "trip" if number % 3 == 0 else "."
        draw(tmp_path / "photos" / below / f"{number:02}.png", number)
    return tmp_path / "photos"


@pytest.fixture
def gallery(tmp_path: Path, photos: Path, tower: VisionTower) -> Gallery:
    """A gallery of the twelve pictures."""
    gallery = Gallery.create(tmp_path / "gallery", tower)
    gallery.add(photos)
    return gallery
