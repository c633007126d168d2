"""Losses of masks, against loops over pixels and numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mlcd.training.losses.masks import (
    dice_loss,
    focal_loss,
    mask_cross_entropy,
    mask_dice,
    mask_iou,
)


def some_masks() -> tuple[list[Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 4), (5, 2)]
    logits = [2 * torch.randn(shape, generator=generator) for shape in shapes]
    masks = [torch.rand(shape, generator=generator) < 0.4 for shape in shapes]
    return logits, masks


def test_the_cross_entropy_counts_every_mask_the_same_whatever_its_size() -> None:
    logits, masks = some_masks()
    each = []
    for own, mask in zip(logits, masks, strict=True):
        total = 0.0
        for logit, is_set in zip(own.flatten().tolist(), mask.flatten().tolist(), strict=True):
            probability = 1 / (1 + math.exp(-logit))
            total -= math.log(probability if is_set else 1 - probability)
        each.append(total / mask.numel())
    assert float(mask_cross_entropy(logits, masks)) == pytest.approx(sum(each) / 2, rel=1e-5)


def test_the_cross_entropy_of_an_undecided_mask_is_ln_2() -> None:
    assert float(mask_cross_entropy([torch.zeros(2, 3)], [torch.ones(2, 3)])) == pytest.approx(
        math.log(2)
    )


def test_dice_is_as_published_by_hand() -> None:
    # Probabilities 0.5, 0.5, 0.75 and 0.25, of which the mask holds the first and the third.
    logits = torch.tensor([[0.0, 0.0], [math.log(3), -math.log(3)]])
    mask = torch.tensor([[True, False], [True, False]])
    wanted = 1 - (0.0025 + 1e-6) / (0.004 + 1e-6)
    assert float(mask_dice([logits], [mask])) == pytest.approx(wanted, rel=1e-5)


def test_dice_of_nothing_told_and_nothing_there_is_almost_nothing() -> None:
    assert float(mask_dice([torch.full((4, 4), -50.0)], [torch.zeros(4, 4)])) == pytest.approx(0)


def test_no_masks_lose_nothing() -> None:
    assert float(mask_cross_entropy([], [])) == float(mask_dice([], [])) == 0


def test_focal_loss_and_sams_dice_are_loops_over_pixels() -> None:
    logits, masks = some_masks()
    own, mask = logits[0], masks[0]
    focal = 0.0
    for logit, is_set in zip(own.flatten().tolist(), mask.flatten().tolist(), strict=True):
        probability = 1 / (1 + math.exp(-logit))
        hit, weight = (probability, 0.25) if is_set else (1 - probability, 0.75)
        focal -= weight * (1 - hit) ** 2 * math.log(hit)
    assert float(focal_loss(own, mask)) == pytest.approx(focal / mask.numel(), rel=1e-5)
    probabilities = own.sigmoid()
    both, sums = float(probabilities[mask].sum()), float(probabilities.sum() + mask.sum())
    assert float(dice_loss(own, mask)) == pytest.approx(1 - (2 * both + 1) / (sums + 1), rel=1e-5)


def test_iou_is_shared_over_either_and_zero_of_nothing() -> None:
    logits = torch.tensor([[[1.0, 1.0, -1.0]], [[-1.0, -1.0, -1.0]]])
    masks = torch.tensor([[[True, False, True]], [[False, False, False]]])
    assert mask_iou(logits, masks).tolist() == pytest.approx([1 / 3, 0.0])
