"""Recipes for a try on a laptop: the published losses and heads on a tower of a few minutes."""

from __future__ import annotations

from dataclasses import replace

from mlcd.core.images import Preprocess
from mlcd.core.towers import TowerConfig, presets
from mlcd.training.losses.margin_softmax import MarginSoftmax
from mlcd.training.losses.mlcd import MLCD
from mlcd.training.recipes.pretrain_recipe import PretrainRecipe


def mlcd_toy() -> PretrainRecipe:
    """MLCD with `things-tiny`'s architecture."""
    return PretrainRecipe(
        tower=presets.things_tiny(),
        loss=MLCD(),
        num_labels=8,
        batch_size=64,
        epochs=20,
        lr=1e-3,
        num_classes=1_000,
        is_small=True,
    )


def unicom_toy() -> PretrainRecipe:
    """UNICOM's network and loss in small: 16 patches, batch norms, one label, half of the dims."""
    recipe = replace(mlcd_toy(), tower=_unicom_tower(), loss=MarginSoftmax(), num_labels=1)
    return replace(recipe, num_sampled_dims=recipe.tower.output_dim // 2)


def _unicom_tower() -> TowerConfig:
    return TowerConfig(
        form="unicom",
        image_size=64,
        patch_size=16,
        width=192,
        depth=4,
        num_heads=3,
        mlp_width=768,
        activation="relu6",
        embed_dim=128,
        preprocess=Preprocess(size=64),
    )
