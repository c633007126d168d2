"""Samples are fair, follow from (seed, step) and cost what they hold."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from tests.training.heads.test_similarities import LargestTensor

from mlcd.training.heads.sampling import permuted, sample_classes, sample_dims


@pytest.mark.parametrize("total", [1, 2, 3, 7, 16, 17, 1000, 12345])
def test_a_permutation_holds_every_number_once(total: int) -> None:
    found = permuted(torch.arange(total), total, "any", 7)
    assert sorted(found.tolist()) == list(range(total))


def test_positives_are_always_there_and_the_budget_is_kept() -> None:
    positives = torch.tensor([0, 5, 99])
    for step in range(20):
        classes = sample_classes(positives, num_classes=100, budget=10, seed=0, step=step)
        assert len(classes) == len(set(classes.tolist())) == 10
        assert {0, 5, 99} <= set(classes.tolist()) <= set(range(100))
        assert all(a < b for a, b in pairwise(classes.tolist()))


def test_more_positives_than_the_budget_are_taken_exactly() -> None:
    positives = torch.arange(12)
    classes = sample_classes(positives, num_classes=100, budget=10, seed=0, step=0)
    assert torch.equal(classes, positives)
    assert len(sample_classes(positives[:0], num_classes=100, budget=10, seed=0, step=0)) == 10


def test_every_other_class_and_every_pair_is_as_likely() -> None:
    num_classes, budget, steps = 12, 5, 6000
    positives = torch.tensor([4])
    together = torch.zeros(num_classes, num_classes)
    for step in range(steps):
        classes = sample_classes(
            positives, num_classes=num_classes, budget=budget, seed=1, step=step
        )
        together[classes[:, None], classes] += 1
    others = [number for number in range(num_classes) if number != 4]
    single = (budget - 1) / (num_classes - 1)
    pair = single * (budget - 2) / (num_classes - 2)
    # Five standard deviations of a count.
    for i in others:
        assert abs(together[i, i].item() - single * steps) < 5 * math.sqrt(steps * single)
        for j in others:
            if i != j:
                assert abs(together[i, j].item() - pair * steps) < 5 * math.sqrt(steps * pair)


def test_neighbouring_classes_and_steps_are_not_alike() -> None:
    nothing = torch.zeros(0).long()
    draw = [
        sample_classes(nothing, num_classes=100_000, budget=10_000, seed=0, step=step)
        for step in range(3)
    ]
    for classes in draw:
        gaps = (classes[1:] - classes[:-1]).float()
        # Gaps of a fair sample are nearly geometric: as spread as they are long.
        assert gaps.std().item() == pytest.approx(gaps.mean().item(), rel=0.1)
    for first, second in ((0, 1), (1, 2), (0, 2)):
        shared = torch.isin(draw[first], draw[second]).sum().item()
        assert abs(shared - 1000) < 5 * math.sqrt(1000)


def test_sampling_from_a_billion_classes_makes_nothing_of_their_number() -> None:
    with LargestTensor() as largest:
        classes = sample_classes(
            torch.tensor([10**9 - 1]), num_classes=10**9, budget=1000, seed=0, step=0
        )
    assert len(classes) == 1000
    assert largest.numel <= 4000


def test_dimensions_follow_from_seed_and_step() -> None:
    device = torch.device("cpu")
    draw = {
        (seed, step): tuple(sample_dims(8, 32, seed=seed, step=step, device=device).tolist())
        for seed in (0, 1)
        for step in (0, 1)
    }
    assert len(set(draw.values())) == 4
    assert all(len(set(dims)) == 8 and max(dims) < 32 for dims in draw.values())


def test_a_sample_is_the_same_on_every_machine() -> None:
    classes = sample_classes(torch.tensor([3]), num_classes=1000, budget=6, seed=7, step=11)
    assert classes.tolist() == [3, 325, 458, 489, 565, 929]
