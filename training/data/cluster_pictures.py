"""Pictures with cluster labels, as the batch of each step.

Epochs follow each other without a gap: picture p of the run is in epoch p // N, at the place where
a permutation that follows from (seed, epoch) puts it. The permutation is computed number by number,
so hundreds of millions of pictures need no list.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mlcd.core.images import Image, ImageError
from mlcd.core.pictures import PictureSource
from mlcd.training.data.augmentation import Augmentation
from mlcd.training.data.step_data import StepBatch
from mlcd.training.heads.sampling import keyed_numbers, permuted

_TRIES = 20
"""Pictures that are tried for one place in a batch before the run stops."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClusterPictures:
    """`StepData` of `images` uint8 (B, S, S, 3) and `labels` int64 (B, L), -1 for none.

    A picture that cannot be read is **replaced** by another one, which follows from (seed, epoch,
    its number), so that batches stay full and batch norms see no empty picture. It is noted in the
    batch. After 20 such pictures for one place all are taken to be gone: ValueError.
    """

    pictures: PictureSource
    labels: NDArray[np.integer]
    """(N, L), a row a picture, -1 for none."""
    image_size: int
    batch_size: int
    """Pictures of all ranks together."""
    augmentation: Augmentation
    seed: int = 0

    def __post_init__(self) -> None:
        if self.labels.ndim != 2 or len(self.labels) != len(self.pictures):
            raise ValueError(
                f"expected labels (N, L) for {len(self.pictures)} pictures, got "
                f"{self.labels.shape}; were they assigned to other pictures?"
            )
        if not len(self.pictures):
            raise ValueError("expected at least one picture")
        if self.batch_size < 1:
            raise ValueError(f"expected batch_size >= 1, got {self.batch_size}")

    def batch(self, step: int, *, rank: int, ranks: int) -> StepBatch:
        """A rank's rows of `step`; ValueError when the batch cannot be shared out evenly."""
        if self.batch_size % ranks:
            raise ValueError(
                f"a batch of {self.batch_size} cannot be shared out evenly to {ranks} ranks; "
                "choose a multiple"
            )
        rows = self.batch_size // ranks
        first = step * self.batch_size + rank * rows
        images = np.empty((rows, self.image_size, self.image_size, 3), np.uint8)
        labels = np.empty((rows, self.labels.shape[1]), np.int64)
        skipped: list[str] = []
        for row, chosen in enumerate(self._order(first, rows)):
            images[row], labels[row] = self._picture(first + row, chosen, skipped)
        return StepBatch(
            tensors={"images": torch.from_numpy(images), "labels": torch.from_numpy(labels)},
            skipped=tuple(skipped),
        )

    def _order(self, first: int, rows: int) -> list[int]:
        """The pictures at so many places of the run."""
        total = len(self.pictures)
        places = torch.arange(first, first + rows)
        return torch.cat(
            [
                permuted(places[places // total == epoch] % total, total, self.seed, epoch, "order")
                for epoch in range(first // total, (first + rows - 1) // total + 1)
            ]
        ).tolist()

    def _picture(
        self, place: int, chosen: int, skipped: list[str]
    ) -> tuple[Image, NDArray[np.integer]]:
        """The picture `chosen` for a place of the run, or a stand-in for it, with its labels."""
        total = len(self.pictures)
        epoch = place // total
        for number in range(_TRIES):
            key = keyed_numbers(self.seed, epoch, place, number, "augmentation")
            try:
                source = self.pictures.read(chosen)
                image = self.augmentation(source, self.image_size, np.random.default_rng(key))
                return image, self.labels[chosen]
            except (ImageError, OSError) as error:
                skipped.append(f"{self.pictures.name(chosen)}: {error}")
            chosen = keyed_numbers(self.seed, epoch, chosen, "instead")[0] % total
        raise ValueError(
            f"{_TRIES} pictures one after the other cannot be read, the last: {skipped[-1]}; "
            "is the place where they lie still there?"
        )
