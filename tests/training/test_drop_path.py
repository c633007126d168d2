"""Whole branches are dropped for single pictures, in training alone, and right on average."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mlcd.core.towers import VisionTower, presets
from mlcd.core.towers.attention import Run
from mlcd.core.towers.block import Block
from mlcd.training.drop_path import add_drop_path

CONFIG = replace(presets.things_tiny(), width=16, depth=2, num_heads=1, mlp_width=16)


def tower(rate: float) -> VisionTower:
    torch.manual_seed(0)
    made = VisionTower(CONFIG)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    add_drop_path(list(made.blocks), rate)
    return made


def test_evaluation_and_the_saved_weights_do_not_know_of_it() -> None:
    pixels = torch.randn(3, 3, 64, 64)
    plain, dropping = tower(0.0).eval(), tower(0.5).eval()
    assert torch.equal(plain(pixels).pooled, dropping(pixels).pooled)
    assert plain.state_dict().keys() == dropping.state_dict().keys()
    assert plain.config == dropping.config


def test_a_picture_loses_a_branch_or_has_it_scaled_up() -> None:
    block, plain = tower(0.5).train().blocks[1], tower(0.0).blocks[1]
    assert isinstance(block, Block)
    assert isinstance(plain, Block)
    tokens = torch.randn(64 * 4, 16)
    runs = [Run(64, 4)]
    after: list[torch.Tensor] = []
    block.attention.register_forward_hook(lambda _module, _given, output: after.append(output))
    with torch.no_grad():
        block(tokens, runs)
        whole = (plain.attention(tokens, plain.norm1(tokens), runs) - tokens).view(64, 4, 16)
    changes = (after[0] - tokens).view(64, 4, 16)
    is_dropped = [not change.any() for change in changes]
    for change, full, dropped in zip(changes, whole, is_dropped, strict=True):
        assert dropped or torch.allclose(change, 2 * full, atol=1e-5)
    assert 20 < sum(is_dropped) < 44


def test_the_first_block_is_never_dropped_and_rates_below_one_alone_are_taken() -> None:
    made = tower(0.9).train()
    assert not made.blocks[0].attention._forward_hooks
    assert made.blocks[1].attention._forward_hooks
    with pytest.raises(ValueError, match=r"got 1\.0"):
        add_drop_path(list(made.blocks), 1.0)
