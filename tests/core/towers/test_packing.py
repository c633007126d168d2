"""Batches are gathered by size, and remember where they came from."""

from __future__ import annotations

import torch

from mlcd.core.towers.packing import group_by_size


def test_batches_of_one_size_come_together_in_the_order_of_their_first() -> None:
    sizes = [(2, 3, 8, 8), (1, 3, 8, 16), (3, 8, 8), (4, 3, 8, 8)]
    batches = [torch.full(size, float(number)) for number, size in enumerate(sizes)]
    square, wide = group_by_size(batches)
    assert (square.members, square.counts) == ((0, 2, 3), (2, 1, 4))
    assert square.pixels[:, 0, 0, 0].tolist() == [0, 0, 2, 3, 3, 3, 3]
    assert (wide.members, wide.counts, tuple(wide.pixels.shape)) == ((1,), (1,), (1, 3, 8, 16))


def test_a_single_batch_is_not_copied() -> None:
    pixels = torch.zeros(2, 3, 8, 8)
    (group,) = group_by_size([pixels])
    assert group.pixels is pixels


def test_nothing_gives_nothing() -> None:
    assert group_by_size([]) == []
