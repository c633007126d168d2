"""AdamW for towers, the moving average of weights, and their state as plain tensors by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mlcd.core.towers import VisionTower

Optimizers = Sequence[torch.optim.Optimizer]


def parameter_groups(
    model: nn.Module, *, weight_decay: float, without: Collection[nn.Parameter] = ()
) -> list[dict[str, Any]]:
    """Matrices with weight decay; norms, biases, class tokens and positions without."""
    left_out = {id(parameter) for parameter in without}
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if id(parameter) in left_out:
            continue
        is_decayed = parameter.ndim > 1 and not name.endswith("positions")
        (decayed if is_decayed else others).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def adamw(
    model: nn.Module,
    *,
    lr: float,
    weight_decay: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    without: Collection[nn.Parameter] = (),
) -> torch.optim.AdamW:
    """AdamW over `parameter_groups`, in the fused form, which keeps no copies of its own."""
    groups = parameter_groups(model, weight_decay=weight_decay, without=without)
    return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps, fused=True)


def block_matrices(tower: VisionTower) -> list[nn.Parameter]:
    """The matrices in a tower's blocks: what Muon may train."""
    return [parameter for parameter in tower.blocks.parameters() if parameter.ndim == 2]


def optimizer_tensors(optimizers: Optimizers, model: nn.Module) -> dict[str, Tensor]:
    """What the optimizers remember, as `parameter name/kind` -> tensor; numbers as tensors (,)."""
    found: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        for optimizer in optimizers:
            for kind, value in optimizer.state.get(parameter, {}).items():
                found[f"{name}/{kind}"] = torch.as_tensor(value)
    return found


def load_optimizer_tensors(
    optimizers: Optimizers, model: nn.Module, saved: Mapping[str, Tensor]
) -> None:
    """Put back what `optimizer_tensors` gave; ValueError for what belongs to no parameter."""
    kinds: dict[str, dict[str, Tensor]] = {}
    for key, value in saved.items():
        name, _, kind = key.rpartition("/")
        kinds.setdefault(name, {})[kind] = value
    owners = {
        parameter: optimizer
        for optimizer in optimizers
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    parameters = dict(model.named_parameters())
    if strange := sorted(kinds.keys() - parameters.keys()):
        raise ValueError(
            f"the checkpoint's optimizer knows {len(strange)} parameters that the model has not, "
            f"first {strange[0]}; was the model changed since?"
        )
    for name, state in kinds.items():
        parameter = parameters[name]
        owner = owners[parameter]
        # An AdamW that is not fused wants its count of steps on the CPU.
        away = {"step"} if not owner.defaults.get("fused") else set()
        owner.state[parameter] = {
            kind: value.to("cpu" if kind in away else parameter.device, copy=True)
            for kind, value in state.items()
        }


class WeightAverage:
    """Moving average of a model's weights and buffers: often better than the weights themselves.

    The decay rises from 0.1 to `decay`, so that the first random weights are soon forgotten.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"expected a decay in [0, 1), got {decay}")
        self.decay = decay
        self.tensors = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after step `step`, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.tensors[name].lerp_(value, 1 - decay)
            else:
                self.tensors[name].copy_(value)
