"""One step of the weights: losses, gradients over micro-batches and ranks, clipping, optimizers.

Two kinds of model are trained here. One gives its own losses. The other gives embeddings, and a
`PartialFC` beside it, whose prototypes differ from rank to rank, turns those of the whole batch
into one loss. For the second a batch in `accumulate` parts is exact: first all parts are embedded
without gradient, then the head sees them together, then each part is embedded again with it. That
costs a third more than a batch at once, and the loss does not depend on the number of parts.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mlcd.training.accelerator import check_fits_partial_fc
from mlcd.training.data.step_data import Batch, Part
from mlcd.training.heads.partial_adamw import PartialAdamW
from mlcd.training.heads.partial_fc import PartialFC
from mlcd.training.heads.sampling import keyed_numbers
from mlcd.training.optim import (
    Optimizers,
    WeightAverage,
    load_optimizer_tensors,
    optimizer_tensors,
)
from mlcd.training.parallel.placement import Placement, Replicated
from mlcd.training.resume import Checkpoint
from mlcd.training.schedule import Schedule

if TYPE_CHECKING:
    from accelerate import Accelerator


class NotFiniteError(ValueError):
    """A loss or a gradient that is NaN or infinite."""

    has_stepped = False
    """Whether weights were changed by it: DeepSpeed steps before it tells the norm."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadUpdate:
    """The head beside the model, and how its prototypes change."""

    head: PartialFC
    optimizer: PartialAdamW
    clip: float = math.inf
    """Largest norm of the prototypes' gradient over all ranks."""


class Update:
    """A model with its optimizers, one step at a time.

    `model` is called with the inputs of a part of the batch and gives embeddings (B, D) when there
    is a head, and otherwise losses by name, means over the part's weight, of which "loss" is
    followed.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Optimizers,
        *,
        accelerator: Accelerator | None = None,
        placement: Placement | None = None,
        schedule: Schedule,
        head: HeadUpdate | None = None,
        accumulate: int = 1,
        clip: float = math.inf,
        average_decay: float | None = None,
        seed: int = 0,
    ) -> None:
        """`accumulate`: parts that a batch is cut into; `clip`: largest norm of the gradient.

        The weights are where `placement` says; with an `accelerator` alone, on every rank.
        """
        if placement is None:
            assert accelerator is not None
            placement = Replicated(accelerator)
        accelerator = placement.accelerator
        if placement.is_sharded and (head is not None or average_decay is not None):
            raise ValueError("a head and an average of the weights need them whole on every rank")
        if accumulate < 1 or not clip > 0:
            raise ValueError(f"expected accumulate >= 1 and clip > 0, got {accumulate} and {clip}")
        if head is not None:
            check_fits_partial_fc(accelerator.distributed_type.value)
        self.model = model
        self.optimizers = list(optimizers)
        self.accelerator = accelerator
        self.schedule = schedule
        self.head = head
        self.accumulate = accumulate
        self.clip = clip
        self.seed = seed
        self.placement = placement
        self._wrapped, self._steppers = placement.prepare(model, self.optimizers)
        self._peaks = [group["lr"] for group in self._groups()]
        self.average = None if average_decay is None else WeightAverage(model, decay=average_decay)

    def __call__(self, batch: Batch, step: int) -> dict[str, float]:
        """Change the weights once; gives the losses and norms by name, the same on all ranks.

        `NotFiniteError` before anything is changed.
        """
        share = self.schedule(step)
        for group, peak in zip(self._groups(), self._peaks, strict=True):
            group["lr"] = peak * share
        for stepper in self._steppers:
            stepper.zero_grad(set_to_none=True)
        self._wrapped.train()
        parts = batch.parts(self.accumulate, self.accelerator.device)
        if self.head is None:
            report = self._backward_own_losses(parts, step)
        else:
            self.head.head.prototypes.grad = None
            report = self._backward_through_head(self.head, parts, step)
        report |= self._clip()
        for stepper in self._steppers:
            stepper.step()
        # A scaler leaves out a step whose gradients overflow. The norm says so, since a fused
        # optimizer does it by itself and is not seen to be skipped.
        if math.isfinite(report["grad_norm"]):
            if self.head is not None:
                self.head.optimizer.step()
            if self.average is not None:
                self.average.update(self.model, step)
        return report | {"lr": self._groups()[0]["lr"]}

    def kept_weights(self, part: str) -> dict[str, Tensor]:
        """The weights to keep of a submodule, on the CPU: averaged where there is an average.

        Called by all ranks together; only the first one gets shares put together.
        """
        average = self.average
        state = average.tensors if average is not None else self.placement.whole_weights()
        prefix = f"{part}."
        return {
            name.removeprefix(prefix): value.cpu()
            for name, value in state.items()
            if name.startswith(prefix)
        }

    def tensors(self) -> dict[str, Tensor]:
        """All state that is the same on all ranks, for a checkpoint.

        Not the parameters that are not trained: those come from where the run began.
        """
        if self.placement.is_sharded:
            return {}
        left_out = self._not_kept()
        found = {
            f"model.{key}": value
            for key, value in self.model.state_dict().items()
            if key not in left_out
        }
        saved = optimizer_tensors(self.optimizers, self.model)
        found |= {f"optimizer.{key}": value for key, value in saved.items()}
        if self.average is not None:
            found |= {f"average.{key}": value for key, value in self.average.tensors.items()}
        return found

    def rows(self) -> dict[str, Tensor]:
        """The state that this rank alone holds: its classes, or its share of the weights."""
        if self.head is None:
            return self.placement.rows()
        return self.head.head.export_rows() | self.head.optimizer.export_rows()

    def values(self) -> dict[str, Any]:
        """The rest of the state, in plain values."""
        scaler = self.accelerator.scaler
        return {"scaler": None if scaler is None else scaler.state_dict()}

    def load(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint. Other ranks may have written it, unless it holds shares."""
        if self.placement.is_sharded:
            rows = checkpoint.own_rows(
                self.accelerator.process_index, self.accelerator.num_processes
            )
            self.placement.load_rows(rows)
            return
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}, "average": {}}
        for key, value in checkpoint.tensors().items():
            kind, _, name = key.partition(".")
            parts[kind][name] = value
        left_out = self._not_kept()
        state = self.model.state_dict()
        here = {name: value for name, value in state.items() if name in left_out}
        self.model.load_state_dict({**here, **parts["model"]})
        load_optimizer_tensors(self.optimizers, self.model, parts["optimizer"])
        if self.average is not None:
            for name, value in parts["average"].items():
                self.average.tensors[name].copy_(value)
        if self.head is not None:
            self.head.head.load_rows(checkpoint.rows())
            self.head.optimizer.load_rows(checkpoint.rows())
        if self.accelerator.scaler is not None and checkpoint.values["scaler"]:
            self.accelerator.scaler.load_state_dict(checkpoint.values["scaler"])

    def _forward(self, part: Part, step: int, number: int) -> Any:
        # Whatever a layer draws follows from the step: a resumed run draws the same, and so does
        # the second pass over a part.
        key = (self.seed, "update", step, number, self.accelerator.process_index)
        torch.manual_seed(keyed_numbers(*key)[0])
        return self._wrapped(part.inputs)

    def _backward_own_losses(self, parts: Sequence[Part], step: int) -> dict[str, float]:
        summed = list(parts[0].weights)
        here = [float(sum(part.weights[name] for part in parts)) for name in summed]
        mean = self._mean(torch.tensor(here, device=self.accelerator.device)).tolist()
        everywhere = dict(zip(summed, mean, strict=True))  # what a rank has, on average
        totals: dict[str, Tensor] = {}
        for number, part in enumerate(parts):
            with self.placement.part(is_last=number == len(parts) - 1):
                values = self._forward(part, step, number)
                share = {name: part.weights[name] / max(everywhere[name], 1e-9) for name in summed}
                shared = {
                    name: value * share[part.counted_as(name)] for name, value in values.items()
                }
                loss = torch.stack([shared[name] for name in summed]).sum()
                self._check_finite("loss", float(self._mean(loss.detach())))
                self.accelerator.backward(loss)
                for name, value in {**shared, "loss": loss}.items():
                    totals[name] = totals.get(name, 0) + value.detach()
        return {name: float(self._mean(value)) for name, value in totals.items()}

    def _backward_through_head(
        self, head: HeadUpdate, parts: Sequence[Part], step: int
    ) -> dict[str, float]:
        if len(parts) == 1:
            embedded = [self._forward(parts[0], step, 0)]
        else:
            with torch.no_grad(), _standing_statistics(self.model):
                embedded = [self._forward(part, step, i) for i, part in enumerate(parts)]
        leaf = torch.cat([part.detach() for part in embedded]).requires_grad_()  # (B, D)
        labels = torch.cat([part.inputs["labels"] for part in parts])
        with self.accelerator.autocast():
            loss = head.head(leaf, labels, step=step)
        self._check_finite("loss", loss.item())
        loss.backward()
        assert leaf.grad is not None
        grads = leaf.grad.split([len(part) for part in embedded])
        for number, (part, grad) in enumerate(zip(parts, grads, strict=True)):
            with self.placement.part(is_last=number == len(parts) - 1):
                again = embedded[0] if len(parts) == 1 else self._forward(part, step, number)
                self.accelerator.backward((again * grad).sum())
        return {"loss": loss.item()}

    def _clip(self) -> dict[str, float]:
        norm = self.placement.clip(self.clip)
        norms = {"grad_norm": norm}
        if self.head is not None:
            norms["head_grad_norm"] = float(self.head.head.clip_grad_norm_(self.head.clip))
        for name, value in norms.items():
            # With a scaler a tower's gradient may overflow: then the step is left out.
            if self.accelerator.scaler is None or name == "head_grad_norm":
                self._check_finite(name, value)
        return norms

    def _mean(self, value: Tensor) -> Tensor:
        """Over ranks."""
        mean: Tensor = self.accelerator.reduce(value, reduction="mean")
        return mean

    def _groups(self) -> list[dict[str, Any]]:
        """The groups of all optimizers, asked for each time: reading a state makes new ones."""
        everyone = [*self.optimizers, *([self.head.optimizer] if self.head else [])]
        return [group for each in everyone for group in each.param_groups]

    def _not_kept(self) -> set[str]:
        """Names of the parameters that are not trained, and second names of what has two."""
        names = {name for name, _ in self.model.named_parameters(remove_duplicate=False)}
        buffers = {name for name, _ in self.model.named_buffers(remove_duplicate=False)}
        trained = {name for name, p in self.model.named_parameters() if p.requires_grad}
        return (names - trained) | (buffers - {name for name, _ in self.model.named_buffers()})

    def _check_finite(self, name: str, value: float) -> None:
        if not math.isfinite(value):
            error = NotFiniteError(f"{name} is {value}")
            error.has_stepped = name == "grad_norm" and self.placement.is_zero
            raise error


@contextlib.contextmanager
def _standing_statistics(model: nn.Module) -> Iterator[None]:
    """Batch norms work as in training, but their running statistics stay as they were."""
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    yield
    for buffer, value in before:
        buffer.copy_(value)
