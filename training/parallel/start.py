"""Starting a run in one of the shipped ways, or in one of the user's own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from mlcd.core.checkpoint import read_json
from mlcd.core.optional import require
from mlcd.training.accelerator import Precision, start_accelerator
from mlcd.training.parallel.placement import Placement, Replicated

WAYS = ("ddp", "fsdp2", "zero2", "zero3")


def read_settings(way: str) -> dict[str, Any]:
    """The settings of a shipped way, or of a file in the form of one of them.

    A file of DeepSpeed's is known by its `zero_optimization`, others by their `kind`. ValueError
    when it is neither.
    """
    is_shipped = way in WAYS
    path = Path(str(files("mlcd.training.parallel"))) / f"{way}.json" if is_shipped else Path(way)
    if not path.is_file():
        raise ValueError(f"no such way {way!r}: expected {', '.join(WAYS)} or a file of settings")
    settings = read_json(path)
    if "zero_optimization" not in settings and settings.get("kind") not in ("ddp", "fsdp2"):
        raise ValueError(
            f"{path}: expected DeepSpeed's settings with zero_optimization, or a kind of ddp or "
            "fsdp2"
        )
    return settings


def start_placement(way: str = "ddp", *, precision: Precision = "no", clip: float) -> Placement:
    """One process, or the ranks that torchrun started, with the weights placed in one way.

    `clip` is for DeepSpeed, which clips by itself. ValueError for settings that do not go together,
    ImportError naming the extra for a library that is missing.
    """
    settings = read_settings(way)
    if settings.get("kind") == "ddp":
        own = {key: value for key, value in settings.items() if key != "kind"}
        return Replicated(start_accelerator(precision, has_partial_fc=False, ddp=own))
    if "RANK" not in os.environ:
        raise ValueError(
            f"{way} spreads weights over ranks: start it with torchrun --nproc-per-node N "
            "--no-python -- mlcd train ..., or leave --parallel out for one process"
        )
    if settings.get("kind") == "fsdp2":
        from mlcd.training.parallel.fsdp2 import FullyShared

        accelerator = start_accelerator(precision, has_partial_fc=False)
        return FullyShared(accelerator, settings, precision=precision)
    return _start_zero(settings, precision, clip)


def deepspeed_settings(
    settings: Mapping[str, Any], *, precision: Precision, clip: float
) -> dict[str, Any]:
    """DeepSpeed's settings with what the recipe decides in place of "auto"."""
    known: dict[str, Any] = {
        "bf16": {**settings.get("bf16", {}), "enabled": precision == "bf16"},
        "fp16": {**settings.get("fp16", {}), "enabled": precision == "fp16"},
        "gradient_clipping": 0.0 if clip == float("inf") else clip,
        # Parts of a batch are weighed and counted here, not there.
        "gradient_accumulation_steps": 1,
        "train_micro_batch_size_per_gpu": 1,
    }
    return {**settings, **known}


def _start_zero(settings: Mapping[str, Any], precision: Precision, clip: float) -> Placement:
    from mlcd.training.parallel.zero import Zero

    require("deepspeed", extra="train-language")
    accelerate = require("accelerate", extra="train-language")
    has_gpu = torch.accelerator.is_available()
    if precision == "fp16" and not has_gpu:
        raise ValueError("fp16 scales its gradients, which needs a GPU; choose bf16 instead")
    os.environ["ACCELERATE_USE_DEEPSPEED"] = "true"  # what `accelerate launch` would set
    plugin = accelerate.DeepSpeedPlugin(
        hf_ds_config=deepspeed_settings(settings, precision=precision, clip=clip)
    )
    backend = None if has_gpu else "gloo"
    handlers = [accelerate.utils.InitProcessGroupKwargs(backend=backend)]
    return Zero(accelerate.Accelerator(deepspeed_plugin=plugin, kwargs_handlers=handlers))
