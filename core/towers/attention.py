"""Self-attention over a packed sequence: the tokens of many pictures in one (T, D) matrix.

The linear layers see the whole matrix. The attention itself works run by run, a run being pictures
of one grid: nothing is padded and no mask is ever built. With flash-attn on a GPU its
variable-length kernel takes all runs at once.

With a workspace, on the CPU, queries, keys and values are first gathered head by head, which the
rotation does on the way: the kernel reads the keys and values many times, and is an eighth faster
when they lie together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from mlcd.core.optional import require
from mlcd.core.towers.rope import Rotation, rotate, rotate_into
from mlcd.core.workspace import Workspace, add_linear, apply_linear


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive pictures of one grid in a packed sequence."""

    num_pictures: int
    num_tokens: int
    rotation: Rotation | None = None
    """None for towers with learned positions."""

    @property
    def length(self) -> int:
        """Rows that the run takes in the packed sequence."""
        return self.num_pictures * self.num_tokens


class SelfAttention(nn.Module):
    """Multi-head attention in which every token sees the tokens of its own picture."""

    def __init__(self, width: int, num_heads: int, *, qkv_bias: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width, bias=qkv_bias)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        tokens: Tensor,
        normed: Tensor,
        runs: Sequence[Run],
        workspace: Workspace | None = None,
    ) -> Tensor:
        """`tokens` plus the attention of `normed`: (T, D), (T, D), runs of T rows -> (T, D)."""
        qkv = apply_linear(self.qkv, normed, workspace, "qkv").unflatten(
            1, (3, self.num_heads, -1)
        )  # (T, 3, heads, d)
        parts = split_rows(qkv, runs)
        if workspace is not None:
            for own, part, run in zip(split_rows(tokens, runs), parts, runs, strict=True):
                mixed = attend(*_gather(part, run, workspace))  # (B * N, heads, d)
                add_linear(own, self.out, mixed.flatten(1), workspace)
            return tokens
        turned = [_turn(part, run) for part, run in zip(parts, runs, strict=True)]
        if len(runs) > 1 and can_use_flash_attention(qkv):
            mixed = attend_with_flash(torch.cat([part.flatten(0, 1) for part in turned]), runs)
        else:
            each = [attend(*part.permute(2, 0, 3, 1, 4)) for part in turned]
            mixed = each[0] if len(each) == 1 else torch.cat(each)
        return add_linear(tokens, self.out, mixed.flatten(1), workspace)


def split_rows(tokens: Tensor, runs: Sequence[Run]) -> tuple[Tensor, ...]:
    """The rows of each run: (T, ...) -> (B * N, ...) each, views."""
    parts: tuple[Tensor, ...] = tokens.split([run.length for run in runs])
    return parts


def _turn(qkv: Tensor, run: Run) -> Tensor:
    """One run, queries and keys rotated: (B * N, 3, heads, d) -> (B, N, 3, heads, d)."""
    qkv = qkv.unflatten(0, (run.num_pictures, run.num_tokens))
    if run.rotation is None:
        return qkv
    return torch.cat([rotate(qkv[:, :, :2], run.rotation), qkv[:, :, 2:]], dim=2)


def _gather(qkv: Tensor, run: Run, workspace: Workspace) -> Tensor:
    """The same in the workspace, head by head: (B * N, 3, heads, d) -> (3, B, heads, N, d)."""
    heads_last = qkv.unflatten(0, (run.num_pictures, run.num_tokens)).permute(2, 0, 3, 1, 4)
    gathered = workspace.empty("heads", tuple(heads_last.shape), qkv)
    if run.rotation is None:
        return gathered.copy_(heads_last)
    rotate_into(gathered[:2], heads_last[:2], run.rotation)
    gathered[2].copy_(heads_last[2])
    return gathered


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention inside each picture of one run: (B, heads, N, d) each -> (B * N, heads, d)."""
    return scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(0, 1)


@cache
def _has_flash_attention() -> bool:
    return find_spec("flash_attn") is not None


@cache
def _is_capable(device: torch.device) -> bool:
    """Whether flash-attn has kernels for this CUDA device (compute capability 8.0, Ampere)."""
    return torch.cuda.get_device_capability(device) >= (8, 0)


def can_use_flash_attention(qkv: Tensor) -> bool:
    """Whether flash-attn is there and takes (T, 3, heads, d): in half precision, on a CUDA device
    of Ampere's generation or later, with heads of at most 256 channels.
    """
    is_half = qkv.dtype in (torch.float16, torch.bfloat16)
    if not (qkv.is_cuda and is_half and qkv.shape[-1] <= 256 and _has_flash_attention()):
        return False
    return _is_capable(qkv.device)


def attend_with_flash(qkv: Tensor, runs: Sequence[Run]) -> Tensor:
    """Attention inside every picture, by flash-attn: (T, 3, heads, d) -> (T, heads, d)."""
    kernel = require("flash_attn", extra="flash-attn").flash_attn_varlen_qkvpacked_func
    lengths = [run.num_tokens for run in runs for _ in range(run.num_pictures)]
    edges = torch.tensor([0, *lengths], device=qkv.device).cumsum(0).to(torch.int32)
    mixed: Tensor = kernel(qkv, edges, max(lengths))
    return mixed
