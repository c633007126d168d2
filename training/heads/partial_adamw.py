"""AdamW for prototypes of which a step touches only some."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from mlcd.training.heads.partial_fc import PartialFC
from mlcd.training.heads.row_gradient import row_gradient

_BLOCK = 2048


class PartialAdamW(torch.optim.Optimizer):
    """AdamW (Loshchilov and Hutter 2019, alg. 2) on the classes of the step alone.

    The form of insightface's PartialFC AdamW: moments and weight decay of a class that was not
    sampled stand still. Steps are counted **per class**: a class that is sampled for the first time
    in step 1,000 starts with the bias correction of a first step. (insightface counts the steps of
    the run, and so the first update of a late class is 0.1 / sqrt(0.001), three times, too large.)
    """

    def __init__(
        self,
        head: PartialFC,
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.05,
    ) -> None:
        if lr < 0 or weight_decay < 0 or eps <= 0 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(
                "expected lr >= 0, weight_decay >= 0, eps > 0 and betas in [0, 1), got "
                f"{lr}, {weight_decay}, {eps} and {betas}"
            )
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__([head.prototypes], defaults)
        self._shard = head.shard
        self._prototypes = head.prototypes
        self.state[head.prototypes] = {
            "exp_avg": torch.zeros_like(head.prototypes),
            "exp_avg_sq": torch.zeros_like(head.prototypes),
            "steps": torch.zeros(
                len(head.prototypes), dtype=torch.int32, device=head.prototypes.device
            ),
        }

    @property
    def lr(self) -> float:
        """Learning rate of the next step."""
        return float(self.param_groups[0]["lr"])

    @lr.setter
    def lr(self, value: float) -> None:
        self.param_groups[0]["lr"] = value

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update the classes that have a gradient. A closure is refused."""
        if closure is not None:
            raise ValueError("PartialAdamW takes no closure; compute the gradient before the step")
        gradient = row_gradient(self._prototypes)
        if gradient is None:
            return
        rows, values = gradient
        for start in range(0, len(values), _BLOCK):
            chosen = slice(start, start + _BLOCK)
            if rows is None:
                self._update([tensor[chosen] for tensor in self._tensors()], values[chosen])
                continue
            block = [tensor.index_select(0, rows[chosen]) for tensor in self._tensors()]
            self._update(block, values[chosen])
            for tensor, updated in zip(self._tensors(), block, strict=True):
                tensor.index_copy_(0, rows[chosen], updated)

    def export_rows(self) -> dict[str, Tensor]:
        """Moments (n, D) and steps (n,) of this rank's classes, for `load_rows`."""
        state = self.state[self._prototypes]
        return self._shard.export(
            {name: state[name] for name in ("exp_avg", "exp_avg_sq", "steps")}
        )

    def load_rows(self, shards: Iterable[Mapping[str, Tensor]]) -> None:
        """Take the moments and steps from what `export_rows` gave on any number of ranks."""
        state = self.state[self._prototypes]
        self._shard.copy_from(
            shards, {name: state[name] for name in ("exp_avg", "exp_avg_sq", "steps")}
        )

    def _tensors(self) -> tuple[Tensor, ...]:
        state = self.state[self._prototypes]
        return self._prototypes.data, state["exp_avg"], state["exp_avg_sq"], state["steps"]

    def _update(self, block: list[Tensor], grad: Tensor) -> None:
        """One step, in place, of (prototypes (b, D), both moments (b, D), steps (b,))."""
        prototypes, exp_avg, exp_avg_sq, steps = block
        settings = self.param_groups[0]
        lr, (beta1, beta2) = settings["lr"], settings["betas"]
        steps += 1
        count = steps[:, None].to(prototypes.dtype)
        exp_avg.lerp_(grad, 1 - beta1)
        exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        change = exp_avg_sq.sqrt().div_((1 - beta2**count).sqrt_()).add_(settings["eps"])
        torch.div(exp_avg, change, out=change).div_(1 - beta1**count)
        prototypes.mul_(1 - lr * settings["weight_decay"]).sub_(change, alpha=lr)
