"""K-means and labels on many workers: the same functions of a block, other hands.

Prototypes are sent to each machine once an iteration, partial sums come back; labels are written
by the workers, a shard each. Features and shards must be on a disk that all workers see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlcd.core.pictures import PictureSource
from mlcd.core.ray_workers import RayWorkers, Table
from mlcd.training.clusters.assign import AssignSettings
from mlcd.training.clusters.blocks import PartialSums, partial_sums
from mlcd.training.clusters.features import FeatureSet, open_features
from mlcd.training.clusters.kmeans import KMeansSettings, Ranges, Sweep
from mlcd.training.clusters.labels import Part, write_part


def ray_sweep(workers: RayWorkers, file: Path, settings: KMeansSettings) -> Sweep:
    """What `run_kmeans` takes as `sweep`: the partial sums of the features in `file`."""

    def sweep(blocks: Ranges, prototypes: Tensor) -> Iterator[PartialSums]:
        arguments = (file.resolve(), settings, workers.shared(prototypes.cpu().numpy()))
        for table in workers.over_ranges(blocks, _sums, arguments=arguments):
            # Sums of several blocks may come together, in which a cluster then comes twice.
            starts = table["block"]
            for start in np.unique(starts):
                of_block = starts == start
                yield PartialSums(
                    table["cluster"][of_block],
                    table["sums"][of_block],
                    table["count"][of_block],
                    table["inertia"][of_block],
                )

    return sweep


def ray_write(workers: RayWorkers) -> Callable[..., None]:
    """What `write_labels` takes as `write`: every worker writes files of its own."""

    def write(
        parts: list[Part],
        pictures: PictureSource,
        features: FeatureSet,
        prototypes: NDArray[np.float32],
        settings: AssignSettings,
        made: Mapping[str, Any],
        on_pictures: Callable[[int, int], None] | None,
    ) -> None:
        shared = [workers.shared(one) for one in (parts, pictures, features, prototypes)]
        numbers = [(number, number + 1) for number in range(len(parts))]
        done = len(pictures) - sum(part.stop - part.start for part in parts)
        for table in workers.over_ranges(
            numbers, _write, arguments=(*shared, settings, dict(made))
        ):
            done += int(table["pictures"].sum())
            if on_pictures is not None:
                on_pictures(done, len(pictures))

    return write


def _sums(
    file: Path, settings: KMeansSettings, prototypes: NDArray[np.float32], start: int, stop: int
) -> Table:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = partial_sums(
        open_features(file)[start:stop],
        torch.from_numpy(np.array(prototypes)).to(device),
        is_spherical=settings.is_spherical,
        search=settings.search,
    )
    return {
        "block": np.full(len(found.clusters), start),
        "cluster": found.clusters,
        "sums": found.sums,
        "count": found.counts,
        "inertia": found.inertia,
    }


def _write(
    parts: list[Part],
    pictures: PictureSource,
    features: FeatureSet,
    prototypes: NDArray[np.float32],
    settings: AssignSettings,
    made: Mapping[str, Any],
    start: int,
    stop: int,
) -> Table:
    for part in parts[start:stop]:
        write_part(part, pictures, features, prototypes, settings, made)
    return {"pictures": np.array([part.stop - part.start for part in parts[start:stop]])}
