"""Each row finds its partner: the loss is a cross entropy in both directions."""

from __future__ import annotations

import math

import pytest
import torch

from mlcd.training.losses.pair_contrast import pair_contrast


def slow_loss(first: torch.Tensor, second: torch.Tensor, scale: float) -> float:
    def one_way(asking: list[list[float]], answering: list[list[float]]) -> float:
        total = 0.0
        for index, row in enumerate(asking):
            logits = [
                scale
                * sum(a * b for a, b in zip(row, other, strict=True))
                / (math.hypot(*row) * math.hypot(*other))
                for other in answering
            ]
            total += math.log(sum(math.exp(logit) for logit in logits)) - logits[index]
        return total / len(asking)

    a, b = first.tolist(), second.tolist()
    return (one_way(a, b) + one_way(b, a)) / 2


def test_it_agrees_with_a_slow_loop() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(5, 4) * 2, torch.randn(5, 4)
    assert pair_contrast(first, second, logit_scale=6.0).item() == pytest.approx(
        slow_loss(first, second, 6.0), rel=1e-4
    )


def test_it_is_near_zero_when_every_row_is_its_own_partner_and_far_from_others() -> None:
    rows = torch.eye(6)
    assert pair_contrast(rows, rows, logit_scale=50.0).item() < 1e-6
    assert pair_contrast(rows, rows.roll(1, 0), logit_scale=50.0).item() > 10


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="same shape"):
        pair_contrast(torch.ones(3, 2), torch.ones(4, 2))
