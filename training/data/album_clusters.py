"""An album's pictures with cluster labels, as the batch of each step: another view every time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, overload

import numpy as np
import torch
from numpy.typing import NDArray

from mlcd.core.images import Image
from mlcd.training.data.step_data import StepBatch
from mlcd.training.heads.sampling import permuted


class PictureAlbum(Protocol):
    """Pictures by number that can be seen in many ways, such as `playroom.album.Album`."""

    def plain(self, index: int, size: int) -> Image:
        """The sight that is clustered, uint8 (size, size, 3)."""
        ...

    def view(self, index: int, number: int, size: int) -> Image:
        """Another view of the same, uint8 (size, size, 3)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PlainSights(Sequence[Image]):
    """The plain sights of the first `num_pictures` pictures, each drawn when it is asked for."""

    album: PictureAlbum
    num_pictures: int
    size: int

    def __len__(self) -> int:
        return self.num_pictures

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> list[Image]: ...
    def __getitem__(self, index: int | slice) -> Image | list[Image]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(self.num_pictures))]
        if not 0 <= index < self.num_pictures:
            raise IndexError(index)
        return self.album.plain(index, self.size)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AlbumClusters:
    """`StepData` of `images` uint8 (B, S, S, 3) and `labels` int64 (B, L).

    Every picture comes once an epoch, in an order that follows from (`seed`, epoch), and each time
    in a view of its own.
    """

    album: PictureAlbum
    labels: NDArray[np.int64]
    """(N, L): of the first N pictures of the album, nearest cluster first."""
    image_size: int
    batch_size: int
    """Pictures of all ranks together."""
    seed: int = 0

    def batch(self, step: int, *, rank: int, ranks: int) -> StepBatch:
        """A rank's rows of `step`; ValueError when the batch cannot be shared out evenly."""
        if self.batch_size % ranks:
            raise ValueError(
                f"a batch of {self.batch_size} cannot be shared out evenly to {ranks} ranks; "
                "choose a multiple"
            )
        rows = self.batch_size // ranks
        places = step * self.batch_size + rank * rows + np.arange(rows)
        epochs, within = np.divmod(places, len(self.labels))
        chosen = np.empty(rows, dtype=np.int64)
        for epoch in np.unique(epochs):
            mine = epochs == epoch
            numbers = torch.from_numpy(within[mine])
            order = permuted(numbers, len(self.labels), self.seed, int(epoch), "order")
            chosen[mine] = order.numpy()
        size = self.image_size
        images = np.stack(
            [
                self.album.view(int(index), int(epoch), size)
                for index, epoch in zip(chosen, epochs, strict=True)
            ]
        )
        return StepBatch(
            tensors={
                "images": torch.from_numpy(images),
                "labels": torch.from_numpy(self.labels[chosen]),
            }
        )
