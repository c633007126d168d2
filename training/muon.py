"""Muon: momentum whose matrices are made orthogonal before each step, for hidden layers.

Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks". torch has one, which
computes in bfloat16; on processors without units for it that takes longer than the training step.
Embeddings, prototypes and vectors belong to AdamW.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.775, 2.0315)
"""Of the quintic of Jordan et al.: they pull singular values to about 1 in few steps."""


class Muon(torch.optim.Optimizer):
    """Steps of spectral norm about `lr` times sqrt(max(1, rows / columns)), for matrices alone."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
    ) -> None:
        """ValueError for a parameter that is no matrix, and for settings that make no sense."""
        parameters = list(parameters)
        if wrong := [tuple(p.shape) for p in parameters if p.ndim != 2]:
            raise ValueError(f"Muon takes matrices, got shapes {wrong}; give these to AdamW")
        if lr < 0 or not 0 <= momentum < 1 or weight_decay < 0:
            raise ValueError(
                f"expected lr >= 0, momentum in [0, 1) and weight_decay >= 0, "
                f"got {lr}, {momentum} and {weight_decay}"
            )
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update from the gradients, which are left as they are. A closure is refused."""
        if closure is not None:
            raise ValueError("Muon takes no closure; compute the gradients before the step")
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                average = state["momentum"]
                average.lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(average, group["momentum"])  # Nesterov's
                rows, columns = parameter.shape
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                scale = group["lr"] * max(1.0, rows / columns) ** 0.5
                parameter.sub_(orthogonalized(ahead), alpha=scale)


def orthogonalized(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest matrix with orthonormal rows or columns, roughly: (m, n) -> (m, n).

    Newton-Schulz iteration; the singular values of the result are within about 0.7 to 1.2, which
    is as good for training as exactly 1.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / wide.norm().clamp(min=1e-7)
    first, third, fifth = _COEFFICIENTS
    for _ in range(steps):
        gram = wide @ wide.T  # (m, m)
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=third, alpha=fifth), wide,
                           beta=first)  # fmt: skip
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T
