"""Which weights decay, what an average is, and optimizers that go on from plain tensors."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from mlcd.core.towers import VisionTower, presets
from mlcd.training.optim import (
    WeightAverage,
    adamw,
    load_optimizer_tensors,
    optimizer_tensors,
    parameter_groups,
)


def test_norms_biases_class_token_and_positions_do_not_decay() -> None:
    tower = VisionTower(replace(presets.mlcd_b32_224(), width=16, depth=1, num_heads=1))
    names = {parameter: name for name, parameter in tower.named_parameters()}
    decayed, others = parameter_groups(tower, weight_decay=0.2)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.2, 0.0)
    assert {names[parameter] for parameter in decayed["params"]} == {
        "embedding.patch.weight",
        "blocks.0.attention.qkv.weight",
        "blocks.0.attention.out.weight",
        "blocks.0.mlp.fc1.weight",
        "blocks.0.mlp.fc2.weight",
    }
    assert "embedding.positions" in {names[parameter] for parameter in others["params"]}
    assert len(decayed["params"]) + len(others["params"]) == len(names)


def test_an_optimizer_goes_on_from_its_tensors_as_if_nothing_had_happened() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = adamw(model, lr=0.1, weight_decay=0.1)
    inputs = torch.randn(8, 3)
    _step(model, optimizer, inputs)
    other = nn.Linear(3, 2)
    other.load_state_dict(model.state_dict())
    resumed = adamw(other, lr=0.1, weight_decay=0.1)
    load_optimizer_tensors([resumed], other, optimizer_tensors([optimizer], model))
    for each, its in ((model, optimizer), (other, resumed)):
        _step(each, its, inputs)
    assert torch.equal(model.weight, other.weight)


def test_state_of_a_parameter_that_is_gone_is_refused() -> None:
    model = nn.Linear(3, 2)
    optimizer = adamw(model, lr=0.1, weight_decay=0.1)
    with pytest.raises(ValueError, match=r"first head\.weight"):
        load_optimizer_tensors([optimizer], model, {"head.weight/exp_avg": torch.zeros(1)})


def test_the_average_is_the_one_of_a_plain_loop() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = WeightAverage(model, decay=0.5)
    expected = 0.0
    for step in range(20):
        nn.init.constant_(model.weight, step)
        average.update(model, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert average.tensors["weight"].item() == pytest.approx(expected)


def _step(model: nn.Module, optimizer: torch.optim.Optimizer, inputs: torch.Tensor) -> None:
    optimizer.zero_grad()
    model(inputs).square().mean().backward()
    optimizer.step()
