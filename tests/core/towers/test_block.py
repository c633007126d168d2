"""Activations as their papers have them, and one block with and without shared memory."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from tests.core.towers.toy_towers import difference, noise, randomise, toy_config
from torch import Tensor

from mlcd.core.towers.attention import Run
from mlcd.core.towers.block import Block, Mlp
from mlcd.core.towers.config import Activation
from mlcd.core.workspace import Workspace


def tanh_gelu(x: float) -> float:
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


FORMULAS: dict[Activation, Callable[[float], float]] = {
    "quick_gelu": lambda x: x / (1 + math.exp(-1.702 * x)),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "gelu": lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2))),
    "gelu_pytorch_tanh": tanh_gelu,
    "relu": lambda x: max(x, 0.0),
    "relu6": lambda x: min(max(x, 0.0), 6.0),
}


def mlp_by_hand(mlp: Mlp, rows: Tensor) -> Tensor:
    hidden = mlp.fc1(rows)
    values = [FORMULAS[mlp.activation](value) for value in hidden.flatten().tolist()]
    return mlp.fc2(torch.tensor(values).view_as(hidden))  # type: ignore[no-any-return]


@pytest.mark.parametrize("activation", FORMULAS)
@pytest.mark.parametrize("workspace", [None, Workspace()], ids=["fresh memory", "workspace"])
@torch.no_grad()
def test_the_mlp_is_the_formula_of_its_activation(
    activation: Activation, workspace: Workspace | None
) -> None:
    mlp = Mlp(6, 20, activation)
    randomise(mlp)
    rows, tokens = 4 * noise(9, 6), noise(9, 6, seed=2)  # large enough for both ends of relu6
    expected = tokens + mlp_by_hand(mlp, rows)
    assert difference(mlp(tokens, rows, workspace), expected) < 1e-5


@torch.no_grad()
def test_rows_in_parts_give_what_all_rows_give(monkeypatch: pytest.MonkeyPatch) -> None:
    block = Block(toy_config("clip"))
    randomise(block)
    tokens, runs = noise(23, 128), [Run(2, 9), Run(1, 5)]
    expected = block(tokens, runs)
    monkeypatch.setattr("mlcd.core.towers.block._ROWS", 7)
    assert difference(block(tokens.clone(), runs, Workspace()), expected) < 1e-5


def test_gradients_reach_every_parameter() -> None:
    block = Block(toy_config("rope2d"))
    block(noise(6, 128), [Run(1, 6)]).square().sum().backward()
    assert all(
        parameter.grad is not None and parameter.grad.abs().sum() > 0
        for parameter in block.parameters()
    )
