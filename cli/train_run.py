"""What all trainings of vision-language models are told on the command line."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from mlcd.training.recipes.language_recipe import LanguageRecipe


@dataclass(frozen=True, kw_only=True, slots=True)
class SpreadRun:
    """Where a run goes, what it changes of its recipe, and how it is spread."""

    output: Annotated[Path | None, arg(aliases=["-o"], metavar="FOLDER")] = None
    """The run's folder; the model folder is `model` in it."""
    images: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """The folder that the paths of pictures in conversations are below."""
    set: tuple[str, ...] = ()
    """Numbers of the recipe to change, as `--plan` names them: `--set batch_size=32`, of tune-seg
    `--set language.batch_size=32`."""
    lora: int | None = None
    """Rank of LoRA's matrices, which then learn in place of the language model's own."""
    parallel: str = "ddp"
    """How weights are spread: ddp, fsdp2, zero2, zero3, or a file like one of theirs."""
    broken: Literal["error", "skip"] = "error"
    """What to do about a broken conversation: stop and name it, or leave it out and count it."""
    plan: bool = False
    """Print the recipe with its sources and the memory it takes, and train nothing."""
    gpus: int = 8
    """Number of GPUs to plan for."""
    gpu_memory: float = 80.0
    """GB of memory of each of them."""
    json: bool = False
    """Print one JSON document."""


def with_lora(recipe: LanguageRecipe, rank: int | None) -> LanguageRecipe:
    """The recipe with matrices of this rank; as it is without one."""
    if rank is None:
        return recipe
    from mlcd.training.lora import Lora

    return replace(recipe, lora=Lora(rank=rank))
