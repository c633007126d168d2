"""Features are the tower's pooled output, normalised or not, and the bare pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mlcd.core.embedding import embed_images
from mlcd.core.images import Preprocess
from mlcd.core.towers import TowerConfig, VisionTower
from mlcd.training.probes.features import (
    Features,
    PixelConfig,
    RawPixels,
    load_features,
)


@pytest.fixture
def tower() -> VisionTower:
    torch.manual_seed(0)
    return VisionTower(
        TowerConfig(
            form="rope2d", image_size=16, patch_size=8, width=16, depth=1, num_heads=2,
            mlp_width=32, activation="gelu", preprocess=Preprocess(size=16),
        )
    ).eval()  # fmt: skip


def images(count: int, side: int = 20) -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(count)]


def test_a_tower_is_seen_before_or_after_it_is_normalized(tower: VisionTower) -> None:
    pixels = tower.config.preprocess.batch(images(5))
    with torch.no_grad():
        pooled = tower(pixels).pooled
    plain = Features(tower, is_normalized=False)
    (batch,) = embed_images(plain, images(5))
    np.testing.assert_allclose(batch.embeddings, pooled, atol=1e-6)
    (batch,) = embed_images(Features(tower, is_normalized=True), images(5))
    np.testing.assert_allclose(batch.embeddings, tower.embed_pixels(pixels), atol=1e-6)
    assert plain.width == 16
    assert plain.weights_sha256() == tower.weights_sha256()
    assert not plain.embed_pixels(pixels).requires_grad


def test_the_stamp_tells_the_two_apart(tower: VisionTower) -> None:
    plain, normalized = (Features(tower, is_normalized=each).settings() for each in (False, True))
    assert plain["features"] == "pooled output, as it is"
    assert normalized["features"] == "pooled output, L2-normalised"
    assert plain["dtype"] == "float32"
    assert plain["preprocess"] == tower.config.preprocess.to_dict()


def test_raw_pixels_are_the_picture_itself() -> None:
    features = Features(RawPixels(PixelConfig(size=20)), is_normalized=False)
    (batch,) = embed_images(features, images(3))
    for image, row in zip(images(3), batch.embeddings, strict=True):
        np.testing.assert_allclose(row, image.reshape(-1) / 255, atol=1e-6)
    assert features.width == 20 * 20 * 3
    other = Features(RawPixels(), is_normalized=False)
    assert other.settings()["preprocess"] != features.settings()["preprocess"]


def test_a_device_that_is_not_there_is_named() -> None:
    assert load_features("raw-pixels", is_normalized=True).name == "raw-pixels"
    with pytest.raises(ValueError, match="device 'nowhere': torch cannot compute there"):
        load_features("raw-pixels", is_normalized=True, device="nowhere")
