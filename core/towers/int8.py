"""A tower whose blocks multiply in 8-bit whole numbers: faster on a CPU, a little less exact.

It is made from a loaded tower when it is wanted, and never saved. How is in `core/int8_linear.py`.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn

from mlcd.core.int8_linear import Int8Linear
from mlcd.core.towers.block import Block
from mlcd.core.towers.vit import VisionTower

NOTE = " in int8"
"""Ends the name of a tower that was quantised."""


def quantize_int8(tower: VisionTower) -> VisionTower:
    """A copy for inference on the CPU: int8 linear layers in the blocks, the rest float32.

    `tower` stays as it is. The patches and the head of the unicom form are left in float32: they
    take little time, and the head's sums over all tokens would not fit 32 bits. The copy has
    another name and another `weights_sha256`, so that its embeddings do not mix with the tower's
    unnoticed.
    ValueError when the tower is not on the CPU, is int8 already or has other layers in its blocks
    than it was built with, and where torch lacks oneDNN.
    """
    device = tower.embedding.patch.weight.device
    if device.type != "cpu":
        raise ValueError(
            f"int8 towers compute on the CPU alone, and {tower.name} is on {device}: "
            "load it on the CPU, or use half precision there"
        )
    if not torch.backends.mkldnn.is_available():
        raise ValueError("int8 towers need oneDNN, which this build of torch lacks: use float32")
    instead: dict[int, object] = {}
    for block in _blocks(tower):
        slope = block.mlp.slope  # becomes part of the weights
        instead |= {
            id(block.attention.qkv): _quantize(tower, block.attention.qkv),
            id(block.attention.out): _quantize(tower, block.attention.out),
            id(block.mlp.fc1): _quantize(tower, block.mlp.fc1, scale_out=slope),
            id(block.mlp.fc2): _quantize(tower, block.mlp.fc2, scale_in=1 / slope),
        }
    copy = deepcopy(tower, instead)  # takes these for copies: float weights are never there twice
    for block in _blocks(copy):
        block.mlp.slope = 1.0
    copy.name = tower.name + NOTE
    return copy.float().requires_grad_(False)


def is_int8(tower: VisionTower) -> bool:
    """Whether `quantize_int8` made it."""
    return any(isinstance(block.mlp.fc1, Int8Linear) for block in _blocks(tower))


def name_before_int8(tower: VisionTower) -> str:
    """What the weights were loaded as, without the note that they were quantised."""
    return tower.name.removesuffix(NOTE) if is_int8(tower) else tower.name


def _blocks(tower: VisionTower) -> list[Block]:
    return [block for block in tower.blocks if isinstance(block, Block)]


def _quantize(tower: VisionTower, layer: nn.Module, **scales: float) -> Int8Linear:
    if isinstance(layer, Int8Linear):
        raise ValueError(f"{tower.name} is int8 already: quantise the tower that it was made from")
    if type(layer) is not nn.Linear:
        raise ValueError(
            f"{tower.name} has a {type(layer).__name__} where a linear layer was expected: "
            "merge adapters into the weights first"
        )
    return Int8Linear(layer, **scales)
