"""The gradient of prototypes as rows and their values, whether it came sparse or dense."""

from __future__ import annotations

from torch import Tensor, nn


def row_gradient(parameter: nn.Parameter) -> tuple[Tensor | None, Tensor] | None:
    """(rows (k,), sorted and unique, values (k, D)); rows None: all; None without any gradient.

    `values` are the gradient itself: what is done to them in place is done to `parameter.grad`.
    """
    grad = parameter.grad
    if grad is None:
        return None
    if not grad.is_sparse:
        return None, grad
    rows = grad._indices()[0]
    # Autograd forgets that a gradient is coalesced, and coalescing it again copies all of it. Only
    # sums over several backward passes have something to add up.
    if not bool((rows[1:] > rows[:-1]).all()):
        grad = parameter.grad = grad.coalesce()
    return grad._indices()[0], grad._values()
