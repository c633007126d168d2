"""Muon steps along orthogonal matrices, and gets further than the plain gradient."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from mlcd.training.muon import Muon, orthogonalized


@pytest.mark.parametrize("shape", [(8, 8), (12, 5), (5, 12)])
def test_singular_values_come_near_one_and_directions_stay(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    result = orthogonalized(matrix)
    values = torch.linalg.diagonal(left.T @ result @ right.T)
    assert values.min() > 0.6
    assert values.max() < 1.3
    torch.testing.assert_close(left @ torch.diag(values) @ right, result, atol=1e-3, rtol=0)


def test_a_step_is_the_momentum_made_orthogonal() -> None:
    parameter = nn.Parameter(torch.zeros(6, 3))
    muon = Muon([parameter], lr=0.1, momentum=0.9, weight_decay=0.0)
    gradients = [torch.randn(6, 3, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    expected, average = torch.zeros(6, 3), torch.zeros(6, 3)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        muon.step()
        average = 0.9 * average + 0.1 * gradient
        expected = expected - 0.1 * 2**0.5 * orthogonalized(0.1 * gradient + 0.9 * average)
        torch.testing.assert_close(parameter.detach(), expected)
        torch.testing.assert_close(parameter.grad, gradient)


def test_weight_decay_shrinks_and_a_parameter_without_gradient_stays() -> None:
    decayed, idle = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    decayed.grad = torch.zeros(2, 2)
    Muon([decayed, idle], lr=0.5, weight_decay=0.1).step()
    torch.testing.assert_close(decayed.detach(), torch.full((2, 2), 0.95))
    assert (idle == 1).all()


def test_its_state_goes_on_in_another_process() -> None:
    def run(steps: range, parameter: nn.Parameter, muon: Muon) -> None:
        for i in steps:
            parameter.grad = torch.randn(4, 4, generator=torch.Generator().manual_seed(i))
            muon.step()

    one = nn.Parameter(torch.eye(4))
    whole = Muon([one])
    run(range(3), one, whole)
    other = nn.Parameter(one.detach().clone())
    resumed = Muon([other])
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))  # as a file would
    run(range(3, 6), one, whole)
    run(range(3, 6), other, resumed)
    assert torch.equal(one, other)


def test_what_is_no_matrix_and_senseless_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3,\)"):
        Muon([nn.Parameter(torch.ones(3))])
    with pytest.raises(ValueError, match="momentum"):
        Muon([nn.Parameter(torch.ones(2, 2))], momentum=1.0)
