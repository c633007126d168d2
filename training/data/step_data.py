"""Batches that follow from the number of their step, computed ahead by other processes.

Because a batch depends on nothing but (step, rank, ranks), a run that goes on after a kill needs no
state of a loader: it asks for the next step.
"""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """What the model sees at a time."""

    inputs: Any
    """What it is called with, on its device."""
    weight: float | Mapping[str, float]
    """How much its loss, a mean, counts beside those of the other parts and ranks: its rows. Where
    several losses are summed, that of each by name."""

    @property
    def weights(self) -> Mapping[str, float]:
        """Of each loss that is summed."""
        return self.weight if isinstance(self.weight, Mapping) else {"loss": self.weight}

    def counted_as(self, name: str) -> str:
        """The loss that a value of the model counts as: "masks.dice" as "masks"."""
        return name.partition(".")[0] if isinstance(self.weight, Mapping) else "loss"


class Batch(Protocol):
    """A rank's part of a step."""

    @property
    def skipped(self) -> tuple[str, ...]:
        """What should have been in it and could not be read: one line each, with the reason."""
        ...

    @property
    def num_pictures(self) -> int:
        """How many pictures the rank sees."""
        ...

    def parts(self, count: int, device: torch.device) -> list[Part]:
        """The batch cut into `count` parts; ValueError when it has fewer rows."""
        ...

    def named_tensors(self) -> dict[str, Tensor]:
        """All that is in it, to look at when a run broke on it."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class StepBatch:
    """A `Batch` of tensors, whose parts are a mapping of their rows."""

    tensors: Mapping[str, Tensor]
    """By name; all have the same number of rows."""
    skipped: tuple[str, ...] = ()
    """What should have been in it and could not be read: one line each, with the reason."""

    pictures_per_row: int = 1

    @property
    def num_pictures(self) -> int:
        """How many pictures the rank sees."""
        return self.num_rows * self.pictures_per_row

    @property
    def num_rows(self) -> int:
        """Rows of each tensor."""
        return len(next(iter(self.tensors.values())))

    def parts(self, count: int, device: torch.device) -> list[Part]:
        """`count` mappings with about as many rows each; ValueError when there are fewer rows."""
        tensors = {name: t.to(device, non_blocking=True) for name, t in self.tensors.items()}
        return [
            Part(
                inputs={name: tensor[first:last] for name, tensor in tensors.items()},
                weight=last - first,
            )
            for first, last in even_parts(self.num_rows, count)
        ]

    def named_tensors(self) -> dict[str, Tensor]:
        """The tensors themselves."""
        return {name: tensor.contiguous() for name, tensor in self.tensors.items()}

    def pin_memory(self) -> StepBatch:
        """In memory from which a GPU copies by itself; `DataLoader` calls it."""
        pinned = {name: tensor.pin_memory() for name, tensor in self.tensors.items()}
        return replace(self, tensors=pinned)


def even_parts(rows: int, count: int) -> list[tuple[int, int]]:
    """First and past-last row of `count` parts; ValueError when there are fewer rows."""
    if rows < count:
        raise ValueError(
            f"a batch of {rows} rows a rank cannot be cut into accumulate = {count} parts"
        )
    return list(itertools.pairwise(rows * i // count for i in range(count + 1)))


class StepData(Protocol):
    """Where the batches come from."""

    def batch(self, step: int, *, rank: int, ranks: int) -> Batch:
        """The rows of `rank` at `step`; the rows of all ranks together do not depend on `ranks`."""
        ...


def prefetched(
    data: StepData, *, start: int, stop: int, rank: int, ranks: int, workers: int
) -> Iterator[Batch]:
    """The batches of the steps from `start` to before `stop`, in order.

    `workers` processes compute ahead, on one thread each; 0 computes each batch when it is asked
    for. What `batch` raises is raised in its turn.
    """
    if workers < 0:
        raise ValueError(f"expected workers >= 0, got {workers}")
    loader = DataLoader(
        _Steps(data, rank, ranks),
        batch_size=None,
        sampler=range(start, stop),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_start_worker,
        pin_memory=torch.cuda.is_available(),
    )
    yield from loader


class _Steps(Dataset[Batch]):
    """One item is one batch."""

    def __init__(self, data: StepData, rank: int, ranks: int) -> None:
        self.data, self.rank, self.ranks = data, rank, ranks

    def __getitem__(self, step: int) -> Batch:
        return self.data.batch(step, rank=self.rank, ranks=self.ranks)


def _start_worker(_: int) -> None:
    torch.set_num_threads(1)
    # Ctrl-C reaches the whole process group; the loop ends the workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
