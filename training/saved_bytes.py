"""How much autograd keeps for the backward pass, counted without allocating any of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call


def saved_bytes(
    build: Callable[[], nn.Module],
    arguments: Callable[[], tuple[Any, ...]],
    *,
    is_mixed: bool,
) -> int:
    """Bytes that the forward pass of a module saves, its weights not counted.

    `build` makes the module on the meta device, `arguments` its inputs on tensors without content;
    `is_mixed`: under autocast to bfloat16. The weights are of 32 bits.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode  # imports for seconds

    with torch.device("meta"):
        module = build()
    sizes: dict[int, tuple[int, Tensor]] = {}

    def note(saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        # Kept alive, so that no address comes twice.
        sizes[storage._cdata] = (storage.nbytes(), saved)
        return saved

    autocast = torch.autocast("cpu", torch.bfloat16) if is_mixed else contextlib.nullcontext()
    with FakeTensorMode(), torch.autograd.graph.saved_tensors_hooks(note, lambda saved: saved):
        state = {
            name: torch.empty(value.shape, dtype=value.dtype, requires_grad=value.requires_grad)
            for name, value in (*module.named_parameters(), *module.named_buffers())
        }
        with autocast:
            functional_call(module, state, arguments())
        weights = {value.untyped_storage()._cdata for value in state.values()}
    return sum(size for address, (size, _) in sizes.items() if address not in weights)
