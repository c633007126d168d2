"""Classes are spread as evenly as they can be, and their rows find their way anywhere else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mlcd.training.heads.shards import ClassShard


def test_shards_follow_upstreams_rule() -> None:
    shards = [ClassShard.of_rank(10, rank, 4) for rank in range(4)]
    assert [(shard.first, shard.count) for shard in shards] == [(0, 3), (3, 3), (6, 2), (8, 2)]


def test_ids_of_other_shards_are_minus_one() -> None:
    shard = ClassShard.of_rank(10, 1, 4)
    assert shard.local(torch.tensor([[2, 3], [5, 6], [-1, 9]])).tolist() == [
        [-1, 0], [2, -1], [-1, -1],
    ]  # fmt: skip


def saved(ranks: int) -> list[dict[str, Tensor]]:
    """What the ranks of a run with ten classes wrote: rows that are their ids."""
    found = []
    for rank in range(ranks):
        shard = ClassShard.of_rank(10, rank, ranks)
        ids = torch.arange(shard.first, shard.first + shard.count)
        found.append(shard.export({"rows": ids[:, None].repeat(1, 2), "counts": ids * 10}))
    return found


@pytest.mark.parametrize("before", [1, 3, 10])
@pytest.mark.parametrize("after", [1, 2, 4])
def test_rows_go_from_any_number_of_ranks_to_any_other(before: int, after: int) -> None:
    for rank in range(after):
        shard = ClassShard.of_rank(10, rank, after)
        into = {"rows": torch.zeros(shard.count, 2), "counts": torch.zeros(shard.count)}
        shard.copy_from(reversed(saved(before)), into)
        ids = list(range(shard.first, shard.first + shard.count))
        assert into["rows"].tolist() == [[number, number] for number in ids]
        assert into["counts"].tolist() == [number * 10 for number in ids]


def test_missing_classes_and_tensors_are_named() -> None:
    shard = ClassShard.of_rank(10, 0, 1)
    into = {"rows": torch.zeros(10, 2)}
    with pytest.raises(ValueError, match=r"3 of the classes 0 to 9 .* first 4"):
        shard.copy_from([saved(3)[0], saved(3)[2]], into)
    with pytest.raises(ValueError, match=r"\['moments'\] are missing"):
        shard.copy_from(saved(1), {"moments": torch.zeros(10)})
    with pytest.raises(ValueError, match=r"rows \(3,\), got \(2,\)"):
        shard.copy_from(saved(1), {"rows": torch.zeros(10, 3)})
    with pytest.raises(ValueError, match=r"differ in their rows: \[9, 10\]"):
        shard.copy_from(
            [{**saved(1)[0], "counts": torch.zeros(9)}], {**into, "counts": into["rows"]}
        )
