"""Labels: the prototypes nearest to each picture, block by block.

A fixed number of them (MLCD takes the 8 nearest of a million), or all that are similar enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mlcd.training.clusters.blocks import BLOCK, Features, nearest_labels
from mlcd.training.clusters.features import open_features

NO_LABEL = -1
"""Fills the rows of pictures that have fewer labels than others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AssignSettings:
    """How many labels a picture gets."""

    num_labels: int = 8
    """Labels of each picture or, with a threshold, the most that one gets."""
    threshold: float | None = None
    """None: always `num_labels`; otherwise only prototypes with at least this cosine."""

    def __post_init__(self) -> None:
        if self.num_labels < 1:
            raise ValueError(f"num_labels must be at least 1, got {self.num_labels}")
        if self.threshold is not None and not -1 <= self.threshold <= 1:
            raise ValueError(f"threshold is a cosine from -1 to 1, got {self.threshold}")


def assign_nearest(
    features: str | Path | Features, prototypes: NDArray[np.float32], num_labels: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The nearest prototypes of all rows and their cosines, best first: (n, l), (n, l).

    features (n, D), an array or an .npy file; prototypes (K, D). ValueError when K is less than
    `num_labels`. Both results are in memory: for what does not fit, see `assign_blocks`.
    """
    features = open_features(features)
    settings = AssignSettings(num_labels=num_labels)
    labels = np.empty((len(features), num_labels), dtype=np.int32)
    similarities = np.empty(labels.shape, dtype=np.float32)
    done = 0
    for block in assign_blocks(features, prototypes, settings):
        rows = slice(done, done := done + len(block[0]))
        labels[rows], similarities[rows] = block
    return labels, similarities


def assign_blocks(
    features: Features,
    prototypes: NDArray[np.float32],
    settings: AssignSettings,
    *,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32]]]:
    """Labels and cosines of the rows `start` to `stop`, a block at a time: (b, l), (b, l)."""
    placed = on_device(prototypes)
    stop = len(features) if stop is None else stop
    for first in range(start, stop, BLOCK):
        yield assign_block(features[first : min(first + BLOCK, stop)], placed, settings)


def assign_block(
    block: Features, prototypes: torch.Tensor, settings: AssignSettings
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Labels and cosines of one block: (b, D), (K, D) -> (b, l), (b, l).

    Below the threshold the label is `NO_LABEL`; the cosine stays.
    """
    if len(prototypes) < settings.num_labels:
        raise ValueError(
            f"expected at least {settings.num_labels} prototypes for as many labels, "
            f"got {len(prototypes)}"
        )
    labels, similarities = nearest_labels(block, prototypes, settings.num_labels)
    if settings.threshold is not None:
        labels[similarities < settings.threshold] = NO_LABEL
    return labels, similarities


def on_device(prototypes: NDArray[np.float32]) -> torch.Tensor:
    """Prototypes, L2-normalised, on a GPU when there is one: (K, D)."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    placed = torch.from_numpy(np.array(prototypes, dtype=np.float32)).to(device)
    return torch.nn.functional.normalize(placed, dim=1)
