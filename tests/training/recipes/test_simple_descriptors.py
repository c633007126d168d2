"""The descriptors are what their definitions say, and the metric brings pairs together."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from mlcd.training.recipes.simple_descriptors import SIZE, PairMetric, colours, describe, edges


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 9, 9, generator=generator)
    return functional.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear")


def slow_edges(picture: np.ndarray) -> np.ndarray:
    """Cell by cell, pixel by pixel: (3, 64, 64) -> (4, 9, 7, 7)."""
    cells = np.zeros((8, 8, 9))
    for y in range(64):
        for x in range(64):
            best, length = (0.0, 0.0), -1.0
            for channel in picture:
                dx = channel[y, x + 1] - channel[y, x - 1] if 0 < x < 63 else 0.0
                dy = channel[y + 1, x] - channel[y - 1, x] if 0 < y < 63 else 0.0
                if dx * dx + dy * dy > length * abs(length):
                    best, length = (dx, dy), math.hypot(dx, dy)
            place = (math.atan2(best[1], best[0]) % math.pi) * 9 / math.pi
            low = math.floor(place)
            cells[y // 8, x // 8, low % 9] += length * (1 - (place - low)) / 64
            cells[y // 8, x // 8, (low + 1) % 9] += length * (place - low) / 64
    blocks = np.zeros((4, 9, 7, 7))
    for y in range(7):
        for x in range(7):
            energy = (cells[y : y + 2, x : x + 2] ** 2).sum() + 1e-3
            for corner, (below, right) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
                blocks[corner, :, y, x] = cells[y + below, x + right] / math.sqrt(energy)
    return np.sqrt(blocks)


def test_edges_agree_with_a_slow_loop() -> None:
    picture = pictures(1)
    expected = slow_edges(picture[0].double().numpy())
    np.testing.assert_allclose(edges(picture)[0].numpy(), expected.ravel(), atol=2e-3)


def test_colours_agree_with_counting() -> None:
    picture = torch.zeros(1, 3, SIZE, SIZE)
    picture[0, :, :, 32:] = torch.tensor([1.0, 0.5, 0.0])[:, None, None]
    shares = colours(picture, levels=2, places=2).view(4, 8)
    black, orange = 0, 4 + (127 // 128) * 2  # green 0.5 is 127 of 255: the lower level
    assert shares[[0, 2], black].tolist() == [0.25, 0.25]
    assert shares[[1, 3], orange].tolist() == [0.25, 0.25]
    assert shares.sum().item() == 1


def test_the_white_of_grounds_counts_less() -> None:
    shares = colours(torch.ones(1, 3, SIZE, SIZE), levels=4, places=1)
    assert shares[0, -1].item() == pytest.approx(0.3)


def test_every_part_of_a_description_has_about_length_one() -> None:
    parts = describe(pictures(5)).split([432, 1764, 576, 512], dim=1)
    for part in parts:
        torch.testing.assert_close(part.norm(dim=1), torch.ones(5))


def test_the_metric_finds_pairs_better_than_the_cosine() -> None:
    generator = torch.Generator().manual_seed(0)
    own = torch.randn(400, 30, generator=generator)
    noise = torch.tensor([0.1] * 20 + [6.0] * 10)  # ten dimensions say nothing about the pair
    first, second = (own + noise * torch.randn(400, 30, generator=generator) for _ in range(2))
    metric = PairMetric(first[:200], second[:200], dim=30, shrinkage=0.01)

    def found(one: torch.Tensor, other: torch.Tensor) -> float:
        cosines = functional.normalize(one, dim=1) @ functional.normalize(other, dim=1).T
        return float((cosines.argmax(dim=1) == torch.arange(len(one))).float().mean())

    assert found(first[200:], second[200:]) < 0.3
    assert found(metric(first[200:]), metric(second[200:])) > 0.9
    torch.testing.assert_close(metric(first).norm(dim=1), torch.ones(400))


def test_pictures_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="64"):
        describe(torch.zeros(1, 3, 32, 32))
