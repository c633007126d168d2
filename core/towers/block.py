"""One transformer block: attention and MLP, each behind a layer norm and added to what came in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from mlcd.core.towers.attention import Run, SelfAttention, split_rows
from mlcd.core.towers.config import Activation, TowerConfig
from mlcd.core.workspace import Workspace, add_linear, apply_linear

_QUICK_GELU_SLOPE = 1.702
_ROWS = 1024
"""Rows that are taken at a time in inference: enough for a fast product, little memory."""


def activate(hidden: Tensor, activation: Activation, *, in_place: bool) -> Tensor:
    """Apply a named activation, elementwise: any shape -> same.

    For `quick_gelu` both what comes in and what goes out are scaled by 1.702.
    """
    match activation:
        case "quick_gelu" | "silu":
            return functional.silu(hidden, inplace=in_place)
        case "gelu" | "gelu_pytorch_tanh":
            approximate = "none" if activation == "gelu" else "tanh"
            if in_place:
                return torch.ops.aten.gelu_(hidden, approximate=approximate)  # type: ignore[no-any-return]
            return functional.gelu(hidden, approximate=approximate)
        case "relu":
            return functional.relu(hidden, inplace=in_place)
        case "relu6":
            return functional.relu6(hidden, inplace=in_place)


class Mlp(nn.Module):
    """Two linear layers with an activation between them."""

    def __init__(self, width: int, hidden_width: int, activation: Activation) -> None:
        super().__init__()
        self.activation = activation
        # x * sigmoid(1.702 x) = silu(1.702 x) / 1.702, and the matrix products scale for nothing
        self.slope = _QUICK_GELU_SLOPE if activation == "quick_gelu" else 1.0
        self.fc1 = nn.Linear(width, hidden_width)
        self.fc2 = nn.Linear(hidden_width, width)

    def forward(self, tokens: Tensor, normed: Tensor, workspace: Workspace | None = None) -> Tensor:
        """`tokens` plus the MLP of `normed`: (T, D), (T, D) -> (T, D)."""
        activation = partial(activate, activation=self.activation, in_place=workspace is not None)
        hidden = apply_linear(
            self.fc1, normed, workspace, "hidden", scale=self.slope, then=activation
        )
        return add_linear(tokens, self.fc2, hidden, workspace, scale=1 / self.slope)


class Block(nn.Module):
    """Pre-norm transformer block over a packed sequence."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.attention = SelfAttention(
            config.width, config.num_heads, qkv_bias=config.form != "unicom"
        )
        self.norm2 = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.mlp = Mlp(config.width, config.mlp_width, config.activation)

    def forward(
        self, tokens: Tensor, runs: Sequence[Run], workspace: Workspace | None = None
    ) -> Tensor:
        """(T, D) -> (T, D); with a workspace the result is written over `tokens`."""
        if workspace is None:
            tokens = self.attention(tokens, self.norm1(tokens), runs)
            return self.mlp(tokens, self.norm2(tokens))  # type: ignore[no-any-return]
        for rows, run in _few_pictures(tokens, runs):
            self.attention(rows, self.norm1(rows), [run], workspace)
        for rows in tokens.chunk(
            round(len(tokens) / _ROWS) or 1
        ):  # no small rest: it costs as much
            self.mlp(rows, self.norm2(rows), workspace)
        return tokens


def _few_pictures(tokens: Tensor, runs: Sequence[Run]) -> Iterator[tuple[Tensor, Run]]:
    """The pictures in runs of about `_ROWS` rows, each with its rows: views of (T, D)."""
    for rows, run in zip(split_rows(tokens, runs), runs, strict=True):
        few = max(1, _ROWS // run.num_tokens)
        for part in rows.split(few * run.num_tokens):
            yield part, replace(run, num_pictures=len(part) // run.num_tokens)
