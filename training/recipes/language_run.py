"""What all runs of a vision-language model begin with, and how its recipe has weights change."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import nn

from mlcd.core.language.vlm import VisionLanguageModel
from mlcd.training.conversation_loss import decoder_matrices
from mlcd.training.muon import Muon
from mlcd.training.optim import block_matrices
from mlcd.training.parallel.placement import Placement
from mlcd.training.parallel.start import read_settings, start_placement
from mlcd.training.recipes.language_recipe import LanguageRecipe
from mlcd.training.schedule import Schedule
from mlcd.training.update import Update

Groups = Callable[[Collection[nn.Parameter]], list[dict[str, Any]]]
"""Groups of what learns for an optimizer, without some parameters."""


def begin_run(recipe: LanguageRecipe, way: str) -> tuple[Placement, torch.dtype]:
    """The ranks, with random numbers seeded, and the number type that the model is loaded in.

    ValueError when the recipe needs whole weights on every rank and `way` spreads them.
    """
    if recipe.needs_whole_weights and read_settings(way).get("kind") != "ddp":
        raise ValueError(
            f"Muon's rates and average_decay need whole weights on every rank, and {way} spreads "
            "them; leave them out, or train with ddp"
        )
    placement = start_placement(way, precision=recipe.precision, clip=recipe.clip)
    torch.manual_seed(recipe.seed)
    # DeepSpeed keeps its own copy in float32 of what it trains.
    is_half = placement.is_zero and recipe.precision == "bf16"
    return placement, torch.bfloat16 if is_half else torch.float32


def update_for(
    recipe: LanguageRecipe,
    loss: nn.Module,
    vlm: VisionLanguageModel,
    groups: Groups,
    *,
    placement: Placement,
    schedule: Schedule,
) -> Update:
    """The steps of `loss`: Muon for the matrices of `vlm` that have a rate of its, AdamW for the
    rest, in `groups`.
    """
    muons = muons_for(vlm, recipe)
    adamw = torch.optim.AdamW(groups(taken_by(muons)), betas=recipe.betas, fused=True)
    return Update(
        loss,
        [*muons, adamw],
        placement=placement,
        schedule=schedule,
        accumulate=recipe.accumulate,
        clip=recipe.clip,
        average_decay=recipe.average_decay,
        seed=recipe.seed,
    )


def muons_for(vlm: VisionLanguageModel, recipe: LanguageRecipe) -> list[Muon]:
    """One for the blocks of the decoder and one for those of the tower, where there is a rate."""
    tower = [matrix for matrix in block_matrices(vlm.tower) if matrix.requires_grad]
    parts = ((recipe.matrix_lr, decoder_matrices(vlm)), (recipe.tower_matrix_lr, tower))
    return [
        Muon(matrices, lr=lr, weight_decay=recipe.weight_decay)
        for lr, matrices in parts
        if lr is not None
    ]


def taken_by(muons: list[Muon]) -> list[nn.Parameter]:
    """What another optimizer need not train."""
    return [
        parameter for muon in muons for group in muon.param_groups for parameter in group["params"]
    ]
