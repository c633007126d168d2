"""The fit is the minimum that autograd, a slow loop and scikit-learn agree on."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mlcd.training.probes import logistic
from mlcd.training.probes.logistic import LogisticFit, fit_logistic, objective

SKLEARN = json.loads((Path(__file__).parent / "sklearn_logistic.json").read_text())
"""What scikit-learn found for `toy_problem`: written by the test marked `peers` at the end."""


def toy_problem(num_classes: int = 4) -> tuple[Tensor, Tensor]:
    """120 pictures of 5 features, off centre, whose classes overlap."""
    draw = np.random.default_rng(7)
    labels = np.arange(120) % num_classes
    centers = draw.normal(0, 1.5, (num_classes, 5))
    features = centers[labels] + draw.normal(0, 1, (120, 5)) * [1, 2, 0.5, 1, 3] + 2
    return torch.from_numpy(features), torch.from_numpy(labels)


def slow_objective(
    features: Tensor, labels: Tensor, weight: Tensor, bias: Tensor, penalty: float
) -> float:
    total = 0.0
    for row, label in zip(features.tolist(), labels.tolist(), strict=True):
        logits = [
            sum(x * w for x, w in zip(row, column, strict=True)) + b
            for column, b in zip(weight.T.tolist(), bias.tolist(), strict=True)
        ]
        total -= math.log(math.exp(logits[label]) / sum(map(math.exp, logits)))
    total += penalty / 2 * sum(w * w for column in weight.tolist() for w in column)
    return total / len(labels)


@pytest.mark.parametrize("block", [1, 28, 10**6])
def test_value_and_gradient_are_those_of_the_loop_and_of_autograd(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logistic, "BLOCK_LOGITS", block)
    features, labels = toy_problem()
    torch.manual_seed(0)
    parameters, center = torch.randn(6, 4, dtype=torch.float64), features.mean(dim=0)
    value, gradient = objective(features, labels, parameters, center, 3.0)
    bias = parameters[-1] - center @ parameters[:-1]
    assert value == pytest.approx(slow_objective(features, labels, parameters[:-1], bias, 3.0))

    free = parameters.clone().requires_grad_()
    logits = (features - center) @ free[:-1] + free[-1]
    loss = torch.nn.functional.cross_entropy(logits, labels)
    (loss + 1.5 / len(labels) * free[:-1].square().sum()).backward()
    assert free.grad is not None
    torch.testing.assert_close(gradient, free.grad, atol=1e-12, rtol=1e-10)


def exact_fit(penalty: float, num_classes: int = 4) -> LogisticFit:
    features, labels = toy_problem(num_classes)
    return fit_logistic(features, labels, num_classes=num_classes, penalty=penalty, tolerance=1e-10)


@pytest.mark.parametrize("case", SKLEARN, ids=lambda case: f"C={case['C']:g}")
def test_the_minimum_is_that_of_scikit_learn_with_c_one_over_the_penalty(
    case: dict[str, Any],
) -> None:
    found = exact_fit(1 / case["C"])
    assert found.ended != "limit"
    np.testing.assert_allclose(found.weight.T, case["coef"], rtol=1e-6, atol=2e-6)
    bias = found.bias - found.bias.mean()  # adding the same to all biases changes no probability
    np.testing.assert_allclose(bias, case["intercept"], rtol=1e-6, atol=2e-6)


def test_float32_comes_to_the_same_minimum() -> None:
    features, labels = toy_problem()
    found = fit_logistic(features.float(), labels, num_classes=4, penalty=1.0)
    assert found.ended == "gradient"
    assert found.weight.dtype == torch.float32
    exact = exact_fit(1.0)
    assert found.objective == pytest.approx(exact.objective, rel=1e-5)
    torch.testing.assert_close(
        found.logits(features).softmax(1).double(),
        exact.logits(features).softmax(1),
        atol=5e-3,
        rtol=0,
    )


def test_features_far_from_zero_are_fitted_as_well() -> None:
    features, labels = toy_problem()
    near, far = (
        fit_logistic(each.float(), labels, num_classes=4, penalty=1.0)
        for each in (features, features + 100)
    )
    assert far.ended == "gradient"
    assert far.objective == pytest.approx(near.objective, rel=1e-5)


def test_a_huge_penalty_leaves_the_frequencies_of_the_classes() -> None:
    features, labels = toy_problem()
    keep = torch.arange(120) != 3  # class 3 has one picture less
    found = fit_logistic(features[keep], labels[keep], num_classes=4, penalty=1e12, tolerance=1e-9)
    frequencies = torch.bincount(labels[keep]) / 119
    torch.testing.assert_close(
        found.logits(features[:1]).softmax(dim=1)[0], frequencies.double(), atol=1e-5, rtol=0
    )


def test_the_limit_of_iterations_is_kept_and_said() -> None:
    features, labels = toy_problem()
    found = fit_logistic(
        features, labels, num_classes=4, penalty=1e-6, max_iterations=3, tolerance=1e-10
    )
    assert found.iterations == 3
    assert found.ended == "limit"


def test_what_cannot_be_fitted_is_refused() -> None:
    features, labels = toy_problem()
    with pytest.raises(ValueError, match="penalty: expected a number above 0, got 0"):
        fit_logistic(features, labels, num_classes=4, penalty=0)
    features[3, 2] = torch.nan
    with pytest.raises(ValueError, match="finite"):
        fit_logistic(features, labels, num_classes=4, penalty=1)


@pytest.mark.peers
def test_scikit_learn_still_finds_what_is_stored() -> None:
    assert [case["C"] for case in SKLEARN] == [0.01, 0.601, 1.0, 100.0]
    for case in SKLEARN:
        found = sklearn_fit(case["C"])
        np.testing.assert_allclose(found["coef"], case["coef"], atol=1e-6)
        np.testing.assert_allclose(found["intercept"], case["intercept"], atol=1e-6)


def sklearn_fit(c: float) -> dict[str, Any]:
    from sklearn.linear_model import LogisticRegression

    features, labels = toy_problem()
    model = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-12, max_iter=10_000)
    model.fit(features.numpy(), labels.numpy())
    return {"C": c, "coef": model.coef_.tolist(), "intercept": model.intercept_.tolist()}
