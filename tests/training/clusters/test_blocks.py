"""A block's arithmetic is that of a slow loop, by torch and by FAISS."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mlcd.training.clusters import nearest
from mlcd.training.clusters.blocks import nearest_labels, partial_sums, ranges
from mlcd.training.clusters.faiss_search import Search


def rows(count: int, seed: int = 0, dim: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def unit(array: np.ndarray) -> np.ndarray:
    return array / np.linalg.norm(array, axis=1, keepdims=True)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that there are several, and edges between them."""
    monkeypatch.setattr(nearest, "_ROWS", 8)
    monkeypatch.setattr(nearest, "_COLUMNS", 6)
    monkeypatch.setattr(nearest, "_GROUP", 4)


@pytest.mark.parametrize("search", ["torch", "faiss"])
@pytest.mark.parametrize("is_spherical", [True, False])
def test_sums_counts_and_inertia_are_those_of_a_loop(is_spherical: bool, search: Search) -> None:
    if search == "faiss":
        pytest.importorskip("faiss")
    block, prototypes = rows(50), rows(23, seed=1)
    if is_spherical:
        prototypes = unit(prototypes)
    found = partial_sums(
        block, torch.from_numpy(prototypes), is_spherical=is_spherical, search=search
    )
    sums = np.zeros((23, 12))
    counts = np.zeros(23, dtype=int)
    inertia = np.zeros(23)
    for row in unit(block.astype(np.float64)) if is_spherical else block.astype(np.float64):
        distances = [float(((row - prototype) ** 2).sum()) for prototype in prototypes]
        nearest = int(np.argmin(distances))
        sums[nearest] += row
        counts[nearest] += 1
        inertia[nearest] += distances[nearest]
    assert found.clusters.tolist() == np.flatnonzero(counts).tolist()
    assert found.counts.tolist() == counts[found.clusters].tolist()
    assert np.abs(found.sums - sums[found.clusters]).max() < 1e-5
    assert found.inertia == pytest.approx(inertia[found.clusters], rel=1e-4)


def test_float16_rows_are_computed_in_float32() -> None:
    block = rows(30).astype(np.float16)
    prototypes = torch.from_numpy(unit(rows(7, seed=1)))
    half, full = partial_sums(block, prototypes), partial_sums(block.astype(np.float32), prototypes)
    assert half.sums.dtype == np.float32
    assert np.array_equal(half.sums, full.sums)


def test_a_row_of_zeros_is_no_error() -> None:
    block = np.zeros((3, 12), dtype=np.float32)
    found = partial_sums(block, torch.from_numpy(unit(rows(5))))
    assert np.isfinite(found.inertia).all()
    assert found.counts.sum() == 3
    labels, similarities = nearest_labels(block, torch.from_numpy(unit(rows(20))), 7)
    assert (labels == np.arange(7)).all()
    assert (similarities == 0).all()


@pytest.mark.parametrize("num_labels", [1, 3, 23])
def test_labels_are_the_cosines_of_normalised_rows(num_labels: int) -> None:
    block, prototypes = rows(50), unit(rows(23, seed=1))
    labels, similarities = nearest_labels(block, torch.from_numpy(prototypes), num_labels)
    cosines = unit(block) @ prototypes.T
    expected = np.argsort(-cosines, axis=1, kind="stable")[:, :num_labels]
    assert labels.dtype == np.int32
    assert np.array_equal(labels, expected)
    assert np.abs(similarities - np.take_along_axis(cosines, expected, axis=1)).max() < 1e-5


def test_ranges_cover_everything_once() -> None:
    assert ranges(10, 4) == [(0, 4), (4, 8), (8, 10)]
    assert ranges(0, 4) == []
