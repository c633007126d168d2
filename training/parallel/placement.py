"""What a step needs to know of where the weights are, and the plain case: a copy on every rank."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor, nn

from mlcd.training.optim import Optimizers

if TYPE_CHECKING:
    from accelerate import Accelerator


class Placement(Protocol):
    """How a model and its optimizers are placed over the ranks. Called by all ranks together."""

    accelerator: Accelerator
    is_sharded: bool
    """Whether a rank holds only a share of the weights or of what the optimizers remember."""
    is_zero: bool
    """Whether it is DeepSpeed that holds them, which keeps float32 copies of half precision."""

    def spread(self, model: nn.Module, units: Sequence[nn.Module], /) -> None:
        """Place the weights, before optimizers are made of them. `units` are used one by one."""
        ...

    def prepare(self, model: nn.Module, optimizers: Optimizers) -> tuple[nn.Module, list[Any]]:
        """What is called and what is stepped in place of the model and the optimizers."""
        ...

    def part(self, *, is_last: bool) -> contextlib.AbstractContextManager[None]:
        """Around a part of a batch: gradients are exchanged with the last one, where they can."""
        ...

    def clip(self, limit: float, /) -> float:
        """Cut the gradient down to a norm; its norm before, over all ranks."""
        ...

    def rows(self) -> dict[str, Tensor]:
        """This rank's share of the trained weights and of what the optimizers remember."""
        ...

    def load_rows(self, rows: Mapping[str, Tensor], /) -> None:
        """Put back what `rows` gave; ValueError when it was of another model."""
        ...

    def whole_weights(self) -> dict[str, Tensor]:
        """All weights on the CPU of the first rank, nothing on the others."""
        ...


class Replicated:
    """A copy of the weights on every rank: one process, or `DistributedDataParallel`."""

    is_sharded = is_zero = False

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self._model = self._wrapped = nn.Module()

    def spread(self, _model: nn.Module, _units: Sequence[nn.Module]) -> None:
        """Nothing: each rank made the same weights."""

    def prepare(self, model: nn.Module, optimizers: Optimizers) -> tuple[nn.Module, list[Any]]:
        """As Accelerate wraps them."""
        self._model = model
        self._wrapped, *steppers = self.accelerator.prepare(model, *optimizers)
        return self._wrapped, steppers

    def part(self, *, is_last: bool) -> contextlib.AbstractContextManager[None]:
        """Gradients are summed over ranks once, with the last part."""
        if is_last:
            return contextlib.nullcontext()
        context: contextlib.AbstractContextManager[None] = self.accelerator.no_sync(self._wrapped)
        return context

    def clip(self, limit: float) -> float:
        """As Accelerate does, which knows of scaled gradients."""
        return float(self.accelerator.clip_grad_norm_(self._model.parameters(), limit))

    def rows(self) -> dict[str, Tensor]:
        """Nothing: what is the same on all ranks is kept once."""
        return {}

    def load_rows(self, _rows: Mapping[str, Tensor]) -> None:
        """Nothing."""

    def whole_weights(self) -> dict[str, Tensor]:
        """The state dict."""
        if not self.accelerator.is_main_process:
            return {}
        return {name: value.detach().cpu() for name, value in self._model.state_dict().items()}


def refuse_other_rows(here: Iterable[str], saved: Mapping[str, Tensor]) -> None:
    """ValueError when a share of a checkpoint does not have exactly the names that are here."""
    names = set(here)
    if different := sorted(names ^ saved.keys()):
        raise ValueError(
            f"the checkpoint's shares are of another model or way of training: {len(different)} "
            f"names differ, first {different[0]}"
        )
