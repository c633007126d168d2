"""Margins move the cosine as their papers say, and pull as they are said to."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mlcd.training.losses.margin import MarginKind, with_margin


def slope(cosine: float, margin: float, kind: MarginKind) -> tuple[float, float]:
    value = torch.tensor(cosine, dtype=torch.float64, requires_grad=True)
    moved: Tensor = with_margin(value, margin, kind)
    moved.backward()
    assert value.grad is not None
    return moved.item(), value.grad.item()


@pytest.mark.parametrize("angle", [0.2, 1.0, 2.0, 2.7])
def test_arcface_turns_the_angle_and_its_gradient_goes_through(angle: float) -> None:
    moved, gradient = slope(math.cos(angle), 0.3, "arcface")
    assert moved == pytest.approx(math.cos(angle + 0.3))
    assert gradient == pytest.approx(math.sin(angle + 0.3) / math.sin(angle))


def test_past_pi_arcface_goes_on_falling() -> None:
    angles = torch.linspace(0.01, math.pi - 0.01, 500, dtype=torch.float64)
    moved = with_margin(torch.cos(angles), 0.5, "arcface")
    assert (moved[1:] < moved[:-1]).all()
    assert slope(math.cos(2.9), 0.5, "arcface")[0] == pytest.approx(
        math.cos(2.9) - 0.5 * math.sin(0.5)
    )


@pytest.mark.parametrize("angle", [0.2, 2.0, 3.0])
def test_straight_through_has_the_value_of_the_turned_angle_and_the_slope_of_none(
    angle: float,
) -> None:
    moved, gradient = slope(math.cos(angle), 0.3, "straight_through")
    assert moved == pytest.approx(math.cos(angle + 0.3))
    assert gradient == 1.0


def test_cosface_takes_the_margin_from_the_cosine() -> None:
    assert slope(0.4, 0.3, "cosface") == pytest.approx((0.1, 1.0))


@pytest.mark.parametrize("kind", ["arcface", "straight_through"])
@pytest.mark.parametrize("cosine", [-1.0, 1.0, 1.0000001])
def test_ends_are_finite(cosine: float, kind: MarginKind) -> None:
    assert all(math.isfinite(number) for number in slope(cosine, 0.3, kind))
