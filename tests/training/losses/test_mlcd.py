"""MLCD is equation 5, and unlike equation 4 it sees where a pair lies and not only how far apart.

That the losses are what a slow loop over pictures and classes gives is in heads/test_partial_fc.py.
"""

from __future__ import annotations

import pytest
import torch

from mlcd.training.losses.cluster_loss import ClusterLoss
from mlcd.training.losses.mlc import MLC
from mlcd.training.losses.mlcd import MLCD


def value(loss: ClusterLoss, positives: list[float], negatives: list[float]) -> float:
    own = torch.tensor([positives], dtype=torch.float64)
    others = torch.tensor([negatives], dtype=torch.float64).logsumexp(dim=1)
    return loss(own, torch.ones_like(own, dtype=torch.bool), others).item()


def test_it_has_the_values_worked_out_by_hand() -> None:
    plain = MLCD(logit_scale=1, margin=0)
    assert value(plain, [0.9, 0.5], [0.1, -0.2, 0.3]) == pytest.approx(2.152170, abs=1e-6)
    assert value(plain, [0.4], [0.1]) == pytest.approx(1.257412, abs=1e-6)
    assert value(plain, [0.8], [0.5]) == pytest.approx(1.345178, abs=1e-6)


def test_it_has_the_gradients_of_the_equation() -> None:
    own = torch.tensor([[0.9, 0.5]], dtype=torch.float64, requires_grad=True)
    others = torch.tensor([[0.1, -0.2, 0.3]], dtype=torch.float64, requires_grad=True)
    MLCD(logit_scale=1, margin=0)(
        own, torch.ones(1, 2, dtype=torch.bool), others.logsumexp(dim=1)
    ).sum().backward()
    p, n = torch.exp(-own).detach(), torch.exp(others).detach()
    torch.testing.assert_close(own.grad, -p / (1 + p.sum()))
    torch.testing.assert_close(others.grad, n / (1 + n.sum()))


def test_padding_leaves_no_trace() -> None:
    own, others = torch.tensor([[0.3, 0.7, 0.9]]), torch.tensor([2.0])
    padded = torch.tensor([[True, False, True]])
    for loss in (MLCD(), MLC()):
        torch.testing.assert_close(
            loss(own, padded, others),
            loss(own[:, ::2], torch.ones(1, 2, dtype=torch.bool), others),
        )


@pytest.mark.parametrize("wrong", [{"logit_scale": 0.0}, {"margin": 3.2}, {"negative_filter": 1.5}])
def test_senseless_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        MLCD(**wrong)  # type: ignore[arg-type]
