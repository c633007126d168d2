"""Each own class is a softmax of its own, in which the picture's other classes are negatives."""

from __future__ import annotations

import math

import pytest
import torch
from tests.training.losses.test_mlcd import value

from mlcd.training.losses.independent_softmax import IndependentSoftmax
from mlcd.training.losses.margin_softmax import MarginSoftmax


def test_other_own_classes_count_among_the_negatives() -> None:
    loss = IndependentSoftmax(logit_scale=1, margin=0, negative_filter=None)
    n = math.exp(0.1) + math.exp(-0.2)
    first = -math.log(math.exp(0.9) / (math.exp(0.9) + n + math.exp(0.5)))
    second = -math.log(math.exp(0.5) / (math.exp(0.5) + n + math.exp(0.9)))
    assert value(loss, [0.9, 0.5], [0.1, -0.2]) == pytest.approx((first + second) / 2)


def test_the_filter_damps_near_own_classes_and_never_the_target() -> None:
    loss = IndependentSoftmax(logit_scale=1, margin=0, negative_filter=0.75)
    first = -math.log(math.exp(0.9) / (math.exp(0.9) + 1 + math.exp(0.5)))
    second = -math.log(math.exp(0.5) / (math.exp(0.5) + 1 + math.exp(0.0)))  # 0.9 is filtered
    assert value(loss, [0.9, 0.5], [0.0]) == pytest.approx((first + second) / 2)


def test_with_one_label_it_is_margin_softmax() -> None:
    settings = {"logit_scale": 8.0, "margin": 0.2, "negative_filter": None}
    assert value(IndependentSoftmax(**settings), [0.4], [0.3, 1.0]) == pytest.approx(  # type: ignore[arg-type]
        value(MarginSoftmax(kind="cosface", **settings), [0.4], [0.3, 1.0])  # type: ignore[arg-type]
    )


def test_padding_and_pictures_without_classes_pull_nothing() -> None:
    own = torch.tensor([[0.3, 0.7], [0.2, 0.1]], requires_grad=True)
    is_positive = torch.tensor([[True, False], [False, False]])
    losses = IndependentSoftmax()(own, is_positive, torch.tensor([-torch.inf, 3.0]))
    losses.sum().backward()
    assert losses.tolist() == [0.0, 0.0]
    assert own.grad is not None
    assert not own.grad.any()
