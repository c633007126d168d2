"""Two workers, one of them killed in the middle, give what a single process gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.core.embedding.toy_tower import ToyTower
from tests.ray_session import kill_busy_worker, ray_session

from mlcd.core.embedding.on_ray import ray_batches
from mlcd.core.pictures import open_pictures
from mlcd.core.ray_workers import RayWorkers
from mlcd.training.clusters import kmeans
from mlcd.training.clusters.assign import AssignSettings
from mlcd.training.clusters.blocks import ranges
from mlcd.training.clusters.features import tower_features
from mlcd.training.clusters.kmeans import KMeansSettings, run_kmeans
from mlcd.training.clusters.label_reading import read_labels
from mlcd.training.clusters.labels import write_labels
from mlcd.training.clusters.on_ray import ray_sweep, ray_write

pytestmark = pytest.mark.slow
WORKERS = RayWorkers(count=2)


@pytest.fixture(scope="module", autouse=True)
def session() -> Iterator[None]:
    with ray_session():
        yield


def test_k_means_loses_nothing_with_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kmeans, "ranges", lambda total: ranges(total, 500))
    rows = np.random.default_rng(0).normal(size=(100_000, 64)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    settings = KMeansSettings(num_clusters=1_500, max_iterations=3, tolerance=0)
    alone = run_kmeans(rows, settings)
    killed: list[int] = []

    def kill_in_the_middle(done: int, _: int) -> None:
        if not killed and done > 120_000 and kill_busy_worker():  # in the second iteration
            killed.append(done)

    sweep = ray_sweep(WORKERS, tmp_path / "rows.npy", settings)
    spread = run_kmeans(rows, settings, sweep=sweep, on_rows=kill_in_the_middle)
    assert killed
    assert killed[0] < 300_000
    assert spread.inertia == pytest.approx(alone.inertia, rel=1e-6)
    assert spread.weights.tolist() == alone.weights.tolist()
    assert (spread.prototypes - alone.prototypes).abs().max() < 1e-6


def test_features_and_labels_lose_nothing_with_a_worker(shards: Path, tmp_path: Path) -> None:
    pictures = open_pictures(shards)
    alone = tower_features(ToyTower(), pictures, tmp_path / "alone", batch_size=2)
    killed: list[int] = []

    def kill_in_the_middle(done: int, _: int) -> None:
        if not killed and done >= 10 and kill_busy_worker():
            killed.append(done)

    batches = ray_batches(WORKERS, slow_tower, pictures, batch_size=2, pictures_per_range=4)
    spread = tower_features(
        ToyTower(),
        pictures,
        tmp_path / "spread",
        batch_size=2,
        on_pictures=kill_in_the_middle,
        batches=batches,
    )
    assert killed
    assert killed[0] < 50
    assert spread.failed.tolist() == alone.failed.tolist()
    assert spread.stamp == alone.stamp
    assert np.abs(spread.open() - alone.open()).max() < 1e-6
    for name in ("paths.txt", "failures.json", "embedding.json"):
        ours, theirs = (tmp_path / which / name for which in ("spread", "alone"))
        assert ours.read_bytes() == theirs.read_bytes()

    prototypes = kmeans.fit_prototypes(alone.file, 10)
    settings = AssignSettings(num_labels=3)
    write_labels(pictures, alone, prototypes, settings)
    told: list[tuple[int, int]] = []
    write_labels(
        pictures,
        alone,
        prototypes,
        settings,
        tmp_path / "labels",
        write=ray_write(WORKERS),
        on_pictures=lambda done, total: told.append((done, total)),
    )
    assert told[-1] == (50, 50)
    assert np.array_equal(read_labels(pictures, tmp_path / "labels"), read_labels(pictures))


def slow_tower() -> ToyTower:
    """Slow enough to be killed at work."""
    return ToyTower(seconds_a_batch=0.5)
