"""Shared buffers change memory, never numbers, and step aside where they cannot be used."""

from __future__ import annotations

import pytest
import torch
from tests.core.towers.toy_towers import FORMS, difference, noise, random_tower
from torch import nn

from mlcd.core.towers.config import Form
from mlcd.core.workspace import Workspace, add_linear, apply_linear, is_plain, workspace_for


def test_a_buffer_is_reused_and_grows() -> None:
    workspace, like = Workspace(), torch.empty(0, dtype=torch.float16)
    first = workspace.empty("a", (4, 3), like)
    assert (first.shape, first.dtype) == ((4, 3), torch.float16)
    assert workspace.empty("a", (2, 5), like).data_ptr() == first.data_ptr()
    assert workspace.empty("b", (2, 5), like).data_ptr() != first.data_ptr()
    assert workspace.empty("a", (5, 5), like).numel() == 25


def test_there_is_none_where_gradients_are_recorded_or_under_autocast() -> None:
    tokens = noise(2, 2)
    assert workspace_for(tokens) is None
    with torch.no_grad():
        assert workspace_for(tokens) is not None
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert workspace_for(tokens) is None


@pytest.mark.parametrize("scale", [1.0, 1.702])
@pytest.mark.parametrize("has_bias", [True, False])
@torch.no_grad()
def test_linear_layers_give_the_same_with_and_without(has_bias: bool, scale: float) -> None:
    layer = nn.Linear(6, 5, bias=has_bias)
    rows, tokens = noise(7, 6), noise(7, 5, seed=2)
    for workspace in (None, Workspace()):
        applied = apply_linear(layer, rows, workspace, "out", scale=scale)
        assert difference(applied, scale * layer(rows)) < 1e-6
        added = add_linear(tokens.clone(), layer, rows, workspace, scale=scale)
        assert difference(added, tokens + layer(scale * rows)) < 1e-6


class Doubled(nn.Linear):
    """A layer that is more than weight and bias, as quantised ones and adapters are."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(rows)


@torch.no_grad()
def test_a_layer_that_is_more_than_its_weight_is_called() -> None:
    layer, hooked = Doubled(6, 5), nn.Linear(6, 5)
    seen: list[torch.Tensor] = []
    hooked.register_forward_hook(lambda module, rows, out: seen.append(out))
    rows, tokens = noise(7, 6), noise(7, 5, seed=2)
    assert not is_plain(layer)
    assert not is_plain(hooked)
    for each in (layer, hooked):
        assert difference(apply_linear(each, rows, Workspace(), "out"), each(rows)) == 0
        expected = tokens + each(rows)
        assert difference(add_linear(tokens.clone(), each, rows, Workspace()), expected) == 0
    assert len(seen) == 4


@pytest.mark.parametrize("form", FORMS)
def test_a_tower_gives_the_same_with_gradients_and_without(form: Form) -> None:
    tower, pixels = random_tower(form), noise(2, 3, 32, 32)
    recorded = tower(pixels)
    assert recorded.pooled.requires_grad
    with torch.no_grad():
        plain = tower(pixels)
    assert difference(recorded.tokens, plain.tokens) < 1e-5
    assert difference(recorded.pooled, plain.pooled) < 1e-5


@torch.no_grad()
def test_a_second_pass_leaves_the_first_one_s_output_alone() -> None:
    tower = random_tower("rope2d")
    first = tower(noise(2, 3, 32, 32))
    kept = first.tokens.clone(), first.pooled.clone()
    tower(noise(2, 3, 32, 32, seed=5))
    assert difference(first.tokens, kept[0]) == 0
    assert difference(first.pooled, kept[1]) == 0
