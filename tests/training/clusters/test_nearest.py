"""The nearest prototypes are those of a stable sort of all scores, however tiles are cut."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mlcd.training.clusters import nearest
from mlcd.training.clusters.nearest import nearest_few, nearest_one

TILES = [(8, 6, 4), (7, 4, 4), (64, 12, 5), (16, 100, 64)]
"""Rows and columns of a tile, columns of a group."""


@pytest.fixture(params=TILES, autouse=True)
def small_tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in zip(("_ROWS", "_COLUMNS", "_GROUP"), request.param, strict=True):
        monkeypatch.setattr(nearest, name, size)


def whole_numbers(count: int, highest: int, seed: int) -> Tensor:
    """Products of these are exact, and many are equal: (count, 6)."""
    random = torch.Generator().manual_seed(seed)
    return torch.randint(-highest, highest + 1, (count, 6), generator=random).float()


@pytest.mark.parametrize("highest", [1, 100])
@pytest.mark.parametrize("count", [1, 3, 8, 61])
def test_the_nearest_few_are_those_of_a_stable_sort(count: int, highest: int) -> None:
    rows, prototypes = whole_numbers(50, highest, 0), whole_numbers(61, highest, 1)
    values, order = (rows @ prototypes.T).sort(dim=1, descending=True, stable=True)
    best, labels = nearest_few(rows, prototypes, count)
    assert torch.equal(best, values[:, :count])
    assert torch.equal(labels, order[:, :count])


def test_prototypes_that_come_nearer_and_nearer_are_all_looked_at() -> None:
    nearer = torch.arange(61.0)[:, None].repeat(1, 6)
    rows = torch.ones(20, 6)
    assert nearest_few(rows, nearer, 5)[1].tolist() == [[60, 59, 58, 57, 56]] * 20
    assert nearest_few(rows, nearer.flip(0), 5)[1].tolist() == [[0, 1, 2, 3, 4]] * 20
    assert nearest_one(rows, nearer, is_spherical=True)[1].tolist() == [60] * 20


@pytest.mark.parametrize("is_spherical", [True, False])
@pytest.mark.parametrize("highest", [1, 100])
def test_the_nearest_one_is_that_of_all_scores(highest: int, is_spherical: bool) -> None:
    rows, prototypes = whole_numbers(50, highest, 0), whole_numbers(61, highest, 1)
    scores = rows @ prototypes.T
    if not is_spherical:
        scores = 2 * scores - (prototypes**2).sum(dim=1)
    best, labels = nearest_one(rows, prototypes, is_spherical=is_spherical)
    expected, first = scores.max(dim=1)
    assert torch.allclose(best, expected, rtol=1e-5, atol=1e-3)
    if is_spherical:
        assert torch.equal(labels, first)
    else:  # the square is rounded, so equal distances may not be
        assert torch.allclose(scores.gather(1, labels[:, None]).squeeze(1), expected, atol=0.1)


def test_a_row_that_is_not_a_number_gets_no_label() -> None:
    rows = whole_numbers(10, 3, 0)
    rows[4, 2] = torch.nan
    labels = nearest_few(rows, whole_numbers(61, 3, 1), 3)[1]
    assert (labels == -1).all(dim=1).tolist() == [row == 4 for row in range(10)]
