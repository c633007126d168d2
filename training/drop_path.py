"""DropPath, or stochastic depth: in training whole branches are left out for single pictures.

Huang et al. 2016, "Deep Networks with Stochastic Depth", with the rate rising linearly over the
blocks (their sec. 3). It hangs on the tower as hooks and leaves its architecture, its keys and its
saved config as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mlcd.core.towers.attention import Run
from mlcd.core.towers.block import Block


def add_drop_path(blocks: Sequence[nn.Module], rate: float) -> None:
    """Drop the branches of the last block with probability `rate`, of earlier ones with less.

    Both branches of a block, attention and MLP, draw for each picture by themselves. In evaluation
    nothing is dropped.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"expected a drop path rate in [0, 1), got {rate}")
    for number, block in enumerate(blocks):
        assert isinstance(block, Block)
        share = rate * number / max(1, len(blocks) - 1)
        if share > 0:
            _Dropped(share).watch(block)


class _Dropped:
    """The hooks of one block."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.runs: Sequence[Run] = ()

    def watch(self, block: Block) -> None:
        block.register_forward_pre_hook(self._remember_runs)
        block.attention.register_forward_hook(self._drop)
        block.mlp.register_forward_hook(self._drop)

    def _remember_runs(self, _: nn.Module, arguments: tuple[Any, ...]) -> None:
        self.runs = arguments[1]

    def _drop(self, branch: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> Tensor:
        """The branch gave tokens + update, (T, D); keep the update of some pictures, scaled up."""
        if not branch.training:
            return output
        tokens: Tensor = arguments[0]
        keep = 1 - self.rate
        pictures = sum(run.num_pictures for run in self.runs)
        kept = torch.rand(pictures, device=output.device) < keep
        lengths = [run.num_tokens for run in self.runs for _ in range(run.num_pictures)]
        rows = kept.repeat_interleave(torch.tensor(lengths, device=output.device))  # (T,)
        return tokens + (output - tokens) * (rows / keep)[:, None].to(output.dtype)
