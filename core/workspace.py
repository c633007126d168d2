"""Memory that the blocks of one pass share, and the linear layers that write into it.

Where no gradient is recorded, every block can use the same few buffers. That saves more than
memory: fresh pages cost a CPU about as much as a seventh of the matrix product that fills them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeGuard

import torch
from torch import Tensor, nn

from mlcd.core.int8_linear import Int8Linear

_CACHED_NUMBERS = 2**18
"""Float32 numbers that a core's own cache surely holds between two passes over them: 1 MB."""


class Workspace:
    """Buffers by name, kept for one pass."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def empty(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Memory of this shape and the dtype of `like`; the last content of `name` is lost."""
        size = math.prod(shape)
        buffer = self._buffers.get(name)
        if buffer is None or len(buffer) < size:
            buffer = self._buffers[name] = like.new_empty(size)
        return buffer[:size].view(shape)


def workspace_for(tokens: Tensor) -> Workspace | None:
    """A workspace, or None where it cannot be used or would not help.

    It cannot while a gradient is recorded or under autocast; on a GPU fresh memory is cheap.
    """
    if torch.is_grad_enabled() or tokens.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return None
    return Workspace()


def apply_linear(
    layer: nn.Module,
    rows: Tensor,
    workspace: Workspace | None,
    name: str,
    *,
    scale: float = 1.0,
    then: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """`then(scale * layer(rows))`: (T, D) -> (T, M), in the workspace's buffer `name` if there is.

    With a workspace `then`, an elementwise function, works in place.
    """
    if workspace is not None and isinstance(layer, Int8Linear) and scale == 1.0:
        out = workspace.empty(name, (len(rows), layer.out_features), rows)
        return layer.write(rows, out, then=then)
    if workspace is None or not is_plain(layer):
        output: Tensor = layer(rows)
        if scale != 1.0:
            output = output * scale if workspace is None else output.mul_(scale)
        return output if then is None else then(output)
    out = workspace.empty(name, (len(rows), layer.out_features), rows)
    torch.addmm(out, rows, layer.weight.T, beta=0, alpha=scale, out=out)
    for part in out.split(_rows_in_cache(layer.out_features)):
        if layer.bias is not None:
            part.add_(layer.bias, alpha=scale)
        if then is not None:
            then(part)
    return out


def add_linear(
    tokens: Tensor,
    layer: nn.Module,
    rows: Tensor,
    workspace: Workspace | None,
    *,
    scale: float = 1.0,
) -> Tensor:
    """`tokens + layer(scale * rows)`: (T, D), (T, M) -> (T, D), over `tokens` with a workspace."""
    if workspace is not None and isinstance(layer, Int8Linear) and scale == 1.0:
        return layer.add_to(tokens, rows)
    if workspace is None or not is_plain(layer):
        update: Tensor = layer(rows if scale == 1.0 else rows * scale)
        return tokens + update if workspace is None else tokens.add_(update)
    tokens.addmm_(rows, layer.weight.T, alpha=scale)
    return tokens if layer.bias is None else tokens.add_(layer.bias)


def is_plain(layer: nn.Module) -> TypeGuard[nn.Linear]:
    """Whether `layer` is just weight and bias: not quantised, wrapped or watched by hooks."""
    return type(layer) is nn.Linear and not layer._forward_hooks and not layer._forward_pre_hooks


def _rows_in_cache(width: int) -> int:
    """Rows that the cores together take from one pass to the next without going to memory."""
    return max(1, _CACHED_NUMBERS * torch.get_num_threads() // width)
