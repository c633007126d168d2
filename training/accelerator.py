"""Starting Accelerate: processes, precision, and what does not go together with `PartialFC`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch

from mlcd.core.optional import require

if TYPE_CHECKING:
    from accelerate import Accelerator

Precision = Literal["no", "bf16", "fp16"]

_LAUNCHED_WITH = {"ACCELERATE_USE_DEEPSPEED": "DEEPSPEED", "ACCELERATE_USE_FSDP": "FSDP"}
_SPREADS_WEIGHTS = ("DEEPSPEED", "FSDP", "MEGATRON_LM", "TP")


def start_accelerator(
    precision: Precision = "no", *, has_partial_fc: bool, ddp: Mapping[str, Any] | None = None
) -> Accelerator:
    """One process, or the ranks that torchrun or `accelerate launch` started.

    `ddp`: settings of `DistributedDataParallel`.

    ValueError when they were started with DeepSpeed or FSDP and `has_partial_fc`, and for fp16
    without a GPU; ImportError naming the extra when accelerate is missing.
    """
    if precision == "fp16" and not torch.accelerator.is_available():
        raise ValueError("fp16 scales its gradients, which needs a GPU; choose bf16 instead")
    accelerate = require("accelerate", extra="train")
    if has_partial_fc:
        for name, kind in _LAUNCHED_WITH.items():  # before either of them is imported or started
            if os.environ.get(name, "").lower() in ("1", "true"):
                check_fits_partial_fc(kind)
    # Without a GPU accelerate leaves several ranks on their own, unless it is told to use the CPU.
    is_cpu = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.accelerator.is_available()
    # The gradients are views of what is sent: a copy of all of them less.
    settings = accelerate.DistributedDataParallelKwargs(
        **{"gradient_as_bucket_view": True, **(ddp or {})}
    )
    started: Accelerator = accelerate.Accelerator(
        cpu=is_cpu, mixed_precision=precision, kwargs_handlers=[settings]
    )
    return started


def check_fits_partial_fc(distributed_type: str) -> None:
    """ValueError when weights are spread over ranks by somebody who would take the head along."""
    if distributed_type.upper() in _SPREADS_WEIGHTS:
        raise ValueError(
            f"PartialFC keeps other prototypes on every rank, which {distributed_type} would take "
            "for one model: launch this recipe with plain data parallelism (torchrun, or "
            "accelerate launch --multi_gpu); DeepSpeed and FSDP are for recipes without PartialFC"
        )
