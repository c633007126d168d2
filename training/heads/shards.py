"""Which classes a rank owns, and how their rows go from one number of ranks to another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

FIRST_CLASS = "first_class"
"""Key of the global id of a shard's first row; the others follow it one by one."""


@dataclass(frozen=True, slots=True)
class ClassShard:
    """The consecutive classes `first` ... `first + count - 1` of `num_classes`."""

    first: int
    count: int
    num_classes: int

    @classmethod
    def of_rank(cls, num_classes: int, rank: int, world_size: int) -> ClassShard:
        """As even as can be, the first ranks one more: the rule of UNICOM's partial_fc.py."""
        share, rest = divmod(num_classes, world_size)
        return cls(share * rank + min(rank, rest), share + int(rank < rest), num_classes)

    def local(self, classes: Tensor) -> Tensor:
        """Global ids, any shape, as rows of this shard; -1 for those of other shards."""
        is_here = (classes >= self.first) & (classes < self.first + self.count)
        return torch.where(is_here, classes - self.first, -1)

    def export(self, rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors with a row per class, with the key that says which classes they are."""
        return {**rows, FIRST_CLASS: torch.tensor(self.first)}

    @torch.no_grad()
    def copy_from(self, shards: Iterable[Mapping[str, Tensor]], into: Mapping[str, Tensor]) -> None:
        """Fill `into`, tensors with a row for each class of this shard, from any other sharding.

        `shards` are what `export` gave, in any order, of any number of ranks, one at a time.
        ValueError, with nothing promised about `into`, when a class or a tensor is missing.
        """
        covered = torch.zeros(self.count, dtype=torch.bool)
        for shard in shards:
            missing = sorted((into.keys() | {FIRST_CLASS}) - shard.keys())
            if missing:
                raise ValueError(
                    f"expected a shard with {sorted(into)} and {FIRST_CLASS}, but {missing} are "
                    "missing; was it saved by another optimizer?"
                )
            there = int(shard[FIRST_CLASS])
            sizes = {len(shard[name]) for name in into}
            if len(sizes) != 1:
                raise ValueError(f"the tensors of a shard differ in their rows: {sorted(sizes)}")
            start = max(self.first, there)
            stop = min(self.first + self.count, there + sizes.pop())
            if start >= stop:
                continue
            here = slice(start - self.first, stop - self.first)
            for name, tensor in into.items():
                rows = shard[name][start - there : stop - there]
                if rows.shape[1:] != tensor.shape[1:]:
                    raise ValueError(
                        f"expected {name} with rows {tuple(tensor.shape[1:])}, got "
                        f"{tuple(rows.shape[1:])}"
                    )
                tensor[here].copy_(rows)
            covered[here] = True
        if not covered.all():
            absent = int((~covered).nonzero()[0]) + self.first
            raise ValueError(
                f"{int((~covered).sum())} of the classes {self.first} to "
                f"{self.first + self.count - 1} are in none of the shards, first {absent}; "
                "pass the shards of all ranks of the saved run"
            )
