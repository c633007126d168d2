"""The hidden matrices of a vision-language model that Muon trains, by its recipe."""

from __future__ import annotations

from torch import nn

from mlcd.core.language.vlm import VisionLanguageModel
from mlcd.training.conversation_loss import decoder_matrices
from mlcd.training.muon import Muon
from mlcd.training.optim import block_matrices
from mlcd.training.recipes.language_recipe import LanguageRecipe


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
