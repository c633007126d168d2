"""Fresh weights for small towers, whose widths the usual standard deviation does not suit."""

from __future__ import annotations

import torch
from torch import nn

from mlcd.core.towers import VisionTower


@torch.no_grad()
def initialise_small(tower: VisionTower) -> None:
    """Linear layers of 1 / sqrt(width); smaller by their number where they add to the stream.

    The usual 0.02 suits widths of 1,000; at 256 it makes attention so even that places, which are
    known from rotations alone, take thousands of steps to be told apart. A head over all tokens
    gets 1 / sqrt of its own inputs.
    """
    for name, module in tower.named_modules():
        if isinstance(module, nn.Linear):
            is_head = name.startswith("head.")
            std = (module.in_features if is_head else tower.config.width) ** -0.5
            adds = name.endswith((".out", ".fc2"))
            scale = (2 * tower.config.depth) ** -0.5 if adds else 1.0
            nn.init.trunc_normal_(module.weight, std=std * scale)
