"""DeepSpeed's ZeRO: shares of moments and gradients (stage 2), and of the weights (stage 3)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from mlcd.training.optim import Optimizers
from mlcd.training.parallel.placement import refuse_other_rows

if TYPE_CHECKING:
    from accelerate import Accelerator


_MOMENT = re.compile(r"(?P<optimizer>\w+)\.state\.(?P<group>\d+)\.(?P<kind>\w+)")


class Zero:
    """A model inside of a DeepSpeed engine, which also clips and steps."""

    is_sharded = is_zero = True

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self._engine: Any = None

    def spread(self, _model: nn.Module, _units: Sequence[nn.Module]) -> None:
        """Nothing yet: DeepSpeed cuts the weights together with the optimizer."""

    def prepare(self, model: nn.Module, optimizers: Optimizers) -> tuple[nn.Module, list[Any]]:
        """The engine. ValueError for more than one optimizer."""
        if len(optimizers) != 1:
            raise ValueError(f"DeepSpeed takes one optimizer, got {len(optimizers)}")
        # The engine brings everything to half precision, and rotary frequencies must not be.
        buffers = {name: value.clone() for name, value in model.named_buffers()}
        self._engine, *steppers = self.accelerator.prepare(model, *optimizers)
        for name, value in buffers.items():
            owner, _, own = name.rpartition(".")
            model.get_submodule(owner)._buffers[own] = value.to(self.accelerator.device)
        return self._engine, steppers

    @contextlib.contextmanager
    def part(self, *, is_last: bool) -> Iterator[None]:
        """DeepSpeed adds up shares of gradients by itself, and steps with the last part."""
        self.accelerator.gradient_state._set_sync_gradients(is_last)
        yield

    def clip(self, _limit: float) -> float:
        """The norm that the engine clipped by the limit in its settings; it has stepped already."""
        return float(self._engine.get_global_grad_norm())

    def rows(self) -> dict[str, Tensor]:
        """The tensors in the state of the engine's optimizer, by their paths in it."""
        return dict(_tensors(self._engine.optimizer.state_dict()))

    def load_rows(self, rows: Mapping[str, Tensor]) -> None:
        """Put back what `rows` gave on as many ranks."""
        state = self._engine.optimizer.state_dict()
        for name, value in rows.items():  # before its first step an optimizer remembers nothing
            if match := _MOMENT.fullmatch(name):
                moments = state.get(match["optimizer"], {"state": {}})["state"]
                moments.setdefault(int(match["group"]), {})[match["kind"]] = value
        refuse_other_rows([name for name, _ in _tensors(state)], rows)
        filled = _filled(state, rows)
        optimizer = self._engine.optimizer
        # One entry a rank, of which each reads its own. Stage 2 is told to begin from the float32
        # copies, and then to bring them to the model; stage 3 does both by itself.
        entries = [filled] * self.accelerator.num_processes
        optimizer.load_state_dict(entries, load_from_fp32_weights=True)
        if hasattr(optimizer, "update_lp_params"):
            optimizer.update_lp_params()

    def whole_weights(self) -> dict[str, Tensor]:
        """In the precision of the engine."""
        state = self.accelerator.get_state_dict(self._engine)
        if not self.accelerator.is_main_process or state is None:
            return {}
        return {name: value.detach().cpu() for name, value in state.items()}


def _tensors(state: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors in dictionaries and lists, under names with dots."""
    if isinstance(state, Tensor):
        yield path, state
    elif isinstance(state, Mapping):
        for key, value in state.items():
            yield from _tensors(value, f"{path}.{key}" if path else str(key))
    elif isinstance(state, (list, tuple)):
        for key, value in enumerate(state):
            yield from _tensors(value, f"{path}.{key}")


def _filled(state: Any, rows: Mapping[str, Tensor], path: str = "") -> Any:
    """The same with other tensors."""
    if isinstance(state, Tensor):
        return rows[path].to(state.device, copy=True)
    if isinstance(state, Mapping):
        return {
            key: _filled(value, rows, f"{path}.{key}" if path else str(key))
            for key, value in state.items()
        }
    if type(state) in (list, tuple):
        return type(state)(_filled(value, rows, f"{path}.{key}") for key, value in enumerate(state))
    return state
