"""MLC is equation 4, which cannot tell two pairs of the same distance from each other."""

from __future__ import annotations

import pytest
import torch
from tests.training.losses.test_mlcd import value

from mlcd.training.losses.mlc import MLC

PLAIN = MLC(logit_scale=1, margin=0)


def test_it_has_the_values_worked_out_by_hand() -> None:
    assert value(PLAIN, [0.9, 0.5], [0.1, -0.2, 0.3]) == pytest.approx(1.462479, abs=1e-6)


def test_only_distances_count() -> None:
    assert value(PLAIN, [0.4], [0.1]) == pytest.approx(0.554355, abs=1e-6)
    assert value(PLAIN, [0.8], [0.5]) == pytest.approx(0.554355, abs=1e-6)


def test_a_picture_without_classes_pulls_nothing() -> None:
    own = torch.tensor([[0.3, 0.7]], requires_grad=True)
    others = torch.tensor([5.0], requires_grad=True)
    PLAIN(own, torch.zeros(1, 2, dtype=torch.bool), others).sum().backward()
    assert own.grad is not None
    assert others.grad is not None
    assert not own.grad.any()
    assert not others.grad.any()
