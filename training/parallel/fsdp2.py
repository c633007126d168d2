"""FSDP2: every weight, gradient and moment is cut into as many shares as there are ranks.

torch's `fully_shard` is called directly. Accelerate turns its own FSDP on for GPUs alone, and this
way the same code runs, and is tested, on CPUs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FSDPModule,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
)
from torch.distributed.tensor import DTensor

from mlcd.training.accelerator import Precision
from mlcd.training.optim import Optimizers
from mlcd.training.parallel.placement import refuse_other_rows

if TYPE_CHECKING:
    from accelerate import Accelerator


class FullyShared:
    """Weights in float32 shares; each unit is put together, in `precision`, while it is used."""

    is_sharded = True
    is_zero = False

    def __init__(
        self, accelerator: Accelerator, settings: Mapping[str, Any], *, precision: Precision
    ) -> None:
        """ValueError for fp16, whose scaler knows no shares, and for unknown settings."""
        if precision == "fp16":
            raise ValueError("FSDP2 is trained in bf16 or without mixed precision, not in fp16")
        known = {"kind", "reshard_after_forward", "reduce_dtype", "offload_to_cpu"}
        if unknown := set(settings) - known:
            raise ValueError(f"unknown settings of fsdp2: {sorted(unknown)}; expected {known}")
        self.accelerator = accelerator
        self._model = nn.Module()
        self._optimizers: list[torch.optim.Optimizer] = []
        half = torch.bfloat16 if precision == "bf16" else None
        reduce = getattr(torch, settings.get("reduce_dtype", "float32")) if half else None
        self._settings: dict[str, Any] = {
            "mp_policy": MixedPrecisionPolicy(param_dtype=half, reduce_dtype=reduce),
            "offload_policy": (
                CPUOffloadPolicy() if settings.get("offload_to_cpu") else OffloadPolicy()
            ),
        }
        self._reshards = bool(settings.get("reshard_after_forward", True))

    def spread(self, model: nn.Module, units: Sequence[nn.Module]) -> None:
        """Cut each unit into shares, and what is in none of them together."""
        mesh = init_device_mesh(self.accelerator.device.type, (self.accelerator.num_processes,))
        for unit in units:
            fully_shard(unit, mesh=mesh, reshard_after_forward=self._reshards, **self._settings)
        fully_shard(model, mesh=mesh, **self._settings)
        for buffer in model.buffers():
            buffer.data = buffer.to(self.accelerator.device)

    def prepare(self, model: nn.Module, optimizers: Optimizers) -> tuple[nn.Module, list[Any]]:
        """The same, once `spread` was called."""
        assert isinstance(model, FSDPModule)
        self._model, self._optimizers = model, list(optimizers)
        return model, list(optimizers)

    @contextlib.contextmanager
    def part(self, *, is_last: bool) -> Iterator[None]:
        """Gradients are summed over ranks with the last part; until then they are whole."""
        assert isinstance(self._model, FSDPModule)
        self._model.set_requires_gradient_sync(is_last)
        yield

    def clip(self, limit: float) -> float:
        """The norm of the whole gradient, which no rank holds."""
        norm = nn.utils.clip_grad_norm_(self._model.parameters(), limit)
        return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)

    def rows(self) -> dict[str, Tensor]:
        """Shares of trained weights and moments by `weight.` and `moment.`, their names behind."""
        found: dict[str, Tensor] = {}
        for name, parameter in _trained(self._model):
            found[f"weight.{name}"] = _local(parameter.detach())
            for optimizer in self._optimizers:
                for kind, value in optimizer.state.get(parameter, {}).items():
                    found[f"moment.{name}/{kind}"] = _local(torch.as_tensor(value))
        return found

    def load_rows(self, rows: Mapping[str, Tensor]) -> None:
        """Put back what `rows` gave on as many ranks."""
        weights = [f"weight.{name}" for name, _ in _trained(self._model)]
        refuse_other_rows(weights, {k: v for k, v in rows.items() if k.startswith("weight.")})
        owners = {
            parameter: optimizer
            for optimizer in self._optimizers
            for group in optimizer.param_groups
            for parameter in group["params"]
        }
        for name, parameter in _trained(self._model):
            _local(parameter.detach()).copy_(rows[f"weight.{name}"])
            prefix = f"moment.{name}/"
            saved = {k.removeprefix(prefix): v for k, v in rows.items() if k.startswith(prefix)}
            if saved:
                owners[parameter].state[parameter] = {
                    kind: _like(parameter, value) for kind, value in saved.items()
                }

    def whole_weights(self) -> dict[str, Tensor]:
        """Put together one by one, and kept on the first rank."""
        found: dict[str, Tensor] = {}
        for name, value in self._model.state_dict().items():
            whole = value.full_tensor() if isinstance(value, DTensor) else value
            if self.accelerator.is_main_process:
                found[name] = whole.detach().cpu()
        return found


def _like(parameter: nn.Parameter, saved: Tensor) -> Tensor:
    """A moment as the optimizer holds it: cut as its parameter, or the plain count of steps."""
    if saved.ndim == 0 and parameter.ndim > 0:
        return saved.to(parameter.device, copy=True)
    moment = torch.zeros_like(parameter)
    _local(moment.detach()).copy_(saved)
    return moment.detach()


def _trained(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, each) for name, each in model.named_parameters() if each.requires_grad)


def _local(value: Tensor) -> Tensor:
    """This rank's share, which is a view."""
    return value.to_local() if isinstance(value, DTensor) else value
