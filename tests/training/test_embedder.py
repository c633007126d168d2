"""The embedder sees pictures as the tower's own preprocessing prepares them."""

from __future__ import annotations

import numpy as np
import torch

from mlcd.core.towers import VisionTower, presets
from mlcd.training.embedder import Embedder


def test_bytes_become_the_pixels_of_the_preprocessing() -> None:
    tower = VisionTower(presets.things_tiny()).eval()
    size = tower.config.image_size
    image = np.random.default_rng(0).integers(0, 256, (size, size, 3)).astype(np.uint8)
    expected = tower(tower.config.preprocess.batch([image])).pooled
    given = Embedder(tower)({"images": torch.from_numpy(image)[None]})
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)


def test_a_projection_is_there_only_for_another_width() -> None:
    tower = VisionTower(presets.things_tiny())
    images = torch.zeros(2, 64, 64, 3, dtype=torch.uint8)
    assert Embedder(tower, embed_dim=32)({"images": images}).shape == (2, 32)
    assert Embedder(tower, embed_dim=256).projection is None
    names = Embedder(tower, embed_dim=32).state_dict().keys()
    assert names - {f"tower.{name}" for name in tower.state_dict()} == {"projection.weight"}
