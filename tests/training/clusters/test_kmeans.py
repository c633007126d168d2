"""K-means finds what is there, follows from its seed, and takes no more memory for more rows."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from mlcd.training.clusters import kmeans
from mlcd.training.clusters.blocks import PartialSums, partial_sums
from mlcd.training.clusters.kmeans import (
    KMeansSettings,
    KMeansState,
    blocks_of,
    fit_prototypes,
    run_kmeans,
)


def groups(count: int = 3_000, num_groups: int = 10, noise: float = 0.05) -> np.ndarray:
    """Rows around `num_groups` random directions: (count, 16)."""
    random = np.random.default_rng(0)
    centers = random.normal(size=(num_groups, 16))
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    rows = centers[np.arange(count) % num_groups] + noise * random.normal(size=(count, 16))
    return rows.astype(np.float32)


@pytest.mark.parametrize("batch", [None, 2_048])
@pytest.mark.parametrize("is_spherical", [True, False])
def test_groups_that_are_there_are_found(batch: int | None, is_spherical: bool) -> None:
    rows = groups()
    settings = KMeansSettings(
        num_clusters=40, rows_per_iteration=batch, is_spherical=is_spherical, max_iterations=30
    )
    state = run_kmeans(rows, settings)
    labels = [
        partial_sums(rows[number::10], state.prototypes, is_spherical=is_spherical).clusters
        for number in range(10)
    ]
    found = np.concatenate(labels)
    assert len(found) == len(set(found.tolist()))  # no prototype serves two groups
    assert state.inertia[-1] < state.inertia[0]


def test_full_k_means_is_that_of_a_slow_loop() -> None:
    rows = groups(400, noise=0.3)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    settings = KMeansSettings(num_clusters=12, max_iterations=5, tolerance=0)
    expected = kmeans.first_prototypes(rows, settings).numpy().astype(np.float64)
    history = []
    for _ in range(5):
        distances = ((rows[:, None].astype(np.float64) - expected[None]) ** 2).sum(axis=2)
        labels = distances.argmin(axis=1)
        history.append(distances.min(axis=1).mean())
        assert len(np.unique(labels)) == 12  # none is empty, so none is filled
        expected = np.stack([rows[labels == number].mean(axis=0) for number in range(12)])
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    state = run_kmeans(rows, settings)
    assert state.inertia == pytest.approx(history, rel=1e-5)
    assert np.abs(state.prototypes.numpy() - expected).max() < 1e-5


def test_mini_batches_move_each_prototype_by_its_own_count() -> None:
    """Sculley's rule, row by row: the mean of all rows that a prototype was ever given."""
    rows = groups(5_000, noise=0.3)
    settings = KMeansSettings(
        num_clusters=6, rows_per_iteration=2_000, is_spherical=False, max_iterations=4
    )
    expected = kmeans.first_prototypes(rows, settings).double()
    counts = np.zeros(6, dtype=int)
    for iteration in range(4):
        seen = np.concatenate([rows[a:b] for a, b in blocks_of(len(rows), settings, iteration)])
        labels = torch.cdist(torch.from_numpy(seen).double(), expected).argmin(dim=1)
        for row, label in zip(seen, labels.tolist(), strict=True):
            counts[label] += 1
            expected[label] += (torch.from_numpy(row).double() - expected[label]) / counts[label]
    state = run_kmeans(rows, settings)
    assert state.weights.tolist() == counts.tolist()
    assert (state.prototypes.double() - expected).abs().max() < 1e-5


def test_mini_batches_look_at_every_row_once_in_a_pass() -> None:
    settings = KMeansSettings(num_clusters=2, rows_per_iteration=3_000)
    seen = [piece for iteration in range(4) for piece in blocks_of(10_500, settings, iteration)]
    passed = seen[: len(kmeans.ranges(10_500, kmeans.MINI_BLOCK))]
    assert sorted(passed) == kmeans.ranges(10_500, kmeans.MINI_BLOCK)
    assert seen[: len(passed)] != sorted(passed)


def test_the_seed_decides() -> None:
    rows = groups()
    one, again, other = (fit_prototypes(rows, 20, seed=seed) for seed in (1, 1, 2))
    assert one.dtype == np.float32
    assert one.shape == (20, 16)
    assert np.abs(np.linalg.norm(one, axis=1) - 1).max() < 1e-6
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_a_file_gives_what_its_array_gives(tmp_path: Path) -> None:
    rows = groups()
    np.save(tmp_path / "rows.npy", rows)
    assert np.array_equal(fit_prototypes(tmp_path / "rows.npy", 20), fit_prototypes(rows, 20))


def test_going_on_after_any_iteration_gives_the_same_bits() -> None:
    rows = groups(noise=0.4)
    for batch in (None, 2_048):
        settings = KMeansSettings(num_clusters=30, rows_per_iteration=batch, max_iterations=6)
        states: list[KMeansState] = []
        straight = run_kmeans(rows, settings, on_iteration=states.append)
        for state in states[:-1]:
            resumed = run_kmeans(rows, settings, state=state)
            assert torch.equal(resumed.prototypes, straight.prototypes)
            assert resumed.inertia == straight.inertia


def test_the_order_of_blocks_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        kmeans, "ranges", lambda total, size=0: [(a, a + 100) for a in range(0, total, 100)]
    )
    rows = groups(noise=0.4)
    settings = KMeansSettings(num_clusters=30, max_iterations=6)

    def backwards(blocks: kmeans.Ranges, prototypes: torch.Tensor) -> Iterator[PartialSums]:
        for start, stop in reversed(blocks):
            yield partial_sums(rows[start:stop], prototypes)

    forth, back = run_kmeans(rows, settings), run_kmeans(rows, settings, sweep=backwards)
    assert (forth.prototypes - back.prototypes).abs().max() < 1e-6


def test_empty_clusters_are_filled_but_not_from_copies_of_one_picture() -> None:
    rows = groups(num_groups=10, noise=0.05)
    rows[:2_000] = rows[0]  # many first prototypes are the same row: all but one are empty
    settings = KMeansSettings(num_clusters=60, max_iterations=40)
    state = run_kmeans(rows, settings)
    assert state.reseeded[0] > 30
    counts = np.zeros(60, dtype=int)
    found = partial_sums(rows, state.prototypes)
    counts[found.clusters] = found.counts
    assert (counts > 0).sum() == 60
    assert torch.isfinite(state.prototypes).all()
    assert state.weights.sum() == len(rows)


def test_fewer_different_rows_than_clusters_end_all_the_same() -> None:
    rows = np.ones((50, 4), dtype=np.float32)
    state = run_kmeans(rows, KMeansSettings(num_clusters=20, max_iterations=3))
    assert torch.isfinite(state.prototypes).all()
    assert state.inertia[-1] < 1e-5


def test_it_stops_when_nothing_is_gained() -> None:
    state = run_kmeans(groups(), KMeansSettings(num_clusters=10, max_iterations=100))
    assert 2 <= state.iterations < 40


def test_rows_that_are_not_there_take_no_memory(tmp_path: Path) -> None:
    """Thirty times as many rows on disk; the same in memory."""

    def peak(count: int) -> int:
        file = tmp_path / f"{count}.npy"
        mapped = np.lib.format.open_memmap(file, "w+", np.dtype(np.float32), (count, 64))
        for start in range(0, count, 10_000):
            random = np.random.default_rng(start)
            mapped[start : start + 10_000] = random.normal(size=(10_000, 64))
        del mapped
        tracemalloc.start()
        fit_prototypes(file, 8, max_iterations=1)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    fit_prototypes(groups(), 8, max_iterations=1)  # what is made once, like caches, is made here
    small, large = peak(20_000), peak(600_000)
    assert large < 1.2 * small


def test_progress_counts_the_rows_of_all_iterations() -> None:
    told: list[tuple[int, int]] = []
    settings = KMeansSettings(num_clusters=4, max_iterations=2, tolerance=0)
    run_kmeans(groups(), settings, on_rows=lambda done, total: told.append((done, total)))
    assert told == [(3_000, 6_000), (6_000, 6_000)]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="got 5 rows for 6 clusters"):
        fit_prototypes(groups()[:5], 6)
    with pytest.raises(ValueError, match="num_clusters must be at least 1, got 0"):
        KMeansSettings(num_clusters=0)
    with pytest.raises(ValueError, match="rows_per_iteration"):
        KMeansSettings(num_clusters=1, rows_per_iteration=0)
    with pytest.raises(ValueError, match=r"float32 or float16, got float64 \(3, 2\)"):
        fit_prototypes(np.zeros((3, 2)), 1)
