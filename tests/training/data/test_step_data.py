"""Batches come in the order of their steps, from other processes or from this one."""

from __future__ import annotations

import os

import pytest
import torch

from mlcd.training.data.step_data import StepBatch, prefetched


class Numbers:
    """Each batch says its step, rank and process."""

    def batch(self, step: int, *, rank: int, ranks: int) -> StepBatch:
        if step == 99:
            raise ValueError("step 99 is broken")
        numbers = torch.tensor([[step, rank, ranks, os.getpid()]])
        return StepBatch(tensors={"numbers": numbers}, skipped=("one",))


@pytest.mark.parametrize("workers", [0, 2])
def test_steps_come_in_order_from_where_a_run_goes_on(workers: int) -> None:
    batches = list(prefetched(Numbers(), start=3, stop=9, rank=1, ranks=2, workers=workers))
    rows = torch.cat([batch.tensors["numbers"] for batch in batches])
    assert rows[:, 0].tolist() == [3, 4, 5, 6, 7, 8]
    assert rows[:, 1:3].unique(dim=0).tolist() == [[1, 2]]
    assert (os.getpid() in rows[:, 3]) == (workers == 0)
    assert len(set(rows[:, 3].tolist())) == max(1, workers)
    assert batches[0].skipped == ("one",)
    assert batches[0].num_rows == 1


def test_what_a_batch_raises_is_raised() -> None:
    with pytest.raises(ValueError, match="step 99 is broken"):
        list(prefetched(Numbers(), start=98, stop=100, rank=0, ranks=1, workers=1))
