"""The embedded towers' recipe: rounds of clustering and training that go on after a stop."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlcd.core.towers import VisionTower, load_tower, presets
from mlcd.playroom.album import Album
from mlcd.training.loop import LoopSettings
from mlcd.training.recipes.train_embedded import (
    EmbeddedRecipe,
    mlcd_tiny,
    train_embedded,
    unicom_tiny,
)

LOOP = LoopSettings(workers=0, tensorboard=False, log_every=1)


def toy(recipe: EmbeddedRecipe) -> EmbeddedRecipe:
    """A few pictures and steps, with a tower of one block at 32 pixels."""
    tower = recipe.pretrain.tower
    small = replace(
        tower,
        image_size=32,
        width=32,
        depth=1,
        num_heads=2,
        mlp_width=32,
        embed_dim=16 if tower.form == "unicom" else None,
        preprocess=replace(tower.preprocess, size=32),
    )
    pretrain = replace(recipe.pretrain, tower=small, batch_size=8, epochs=0.5)
    return replace(recipe, pretrain=pretrain, num_pictures=32, num_clusters=12)


def teacher() -> VisionTower:
    """A tower with random weights in the teacher's place."""
    return VisionTower(replace(presets.mlcd_tiny(), depth=1)).eval()


@pytest.mark.parametrize("recipe", [mlcd_tiny(), unicom_tiny()], ids=["mlcd", "unicom"])
def test_two_rounds_give_a_tower_of_the_recipe(recipe: EmbeddedRecipe, tmp_path: Path) -> None:
    model = train_embedded(toy(recipe), tmp_path, teacher=teacher(), loop=LOOP)
    assert model == tmp_path / "model"
    tower = load_tower(model)
    assert tower.config.form == recipe.pretrain.tower.form
    card = json.loads((model / "model_card.json").read_text())
    assert card["recipe"]["pretrain"]["num_labels"] == recipe.pretrain.num_labels
    first, second = (np.load(tmp_path / f"round-{n}" / "clusters.npz") for n in (1, 2))
    assert first["labels"].shape == second["labels"].shape == (32, recipe.pretrain.num_labels)
    assert first["centres"].shape == (12, 256)
    assert second["centres"].shape == (12, tower.config.output_dim)


def test_a_finished_round_is_not_done_again(tmp_path: Path) -> None:
    recipe, eyes = toy(mlcd_tiny()), teacher()
    train_embedded(replace(recipe, rounds=1), tmp_path, teacher=eyes, loop=LOOP)
    once = {path: path.stat().st_mtime_ns for path in (tmp_path / "round-1").iterdir()}
    train_embedded(recipe, tmp_path, teacher=eyes, loop=LOOP)
    for path, time_ns in once.items():
        if path.suffix in (".npz",):
            assert path.stat().st_mtime_ns == time_ns
    assert (tmp_path / "round-2" / "clusters.npz").exists()


def test_a_folder_of_another_recipe_is_refused(tmp_path: Path) -> None:
    recipe, eyes = toy(mlcd_tiny()), teacher()
    train_embedded(replace(recipe, rounds=1), tmp_path, teacher=eyes, loop=LOOP)
    other = replace(recipe, album=Album(seed=9), rounds=1)
    with pytest.raises(ValueError, match="album"):
        train_embedded(other, tmp_path, teacher=eyes, loop=LOOP)


def test_more_clusters_than_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="no more clusters than pictures"):
        EmbeddedRecipe(pretrain=mlcd_tiny().pretrain, num_pictures=10, num_clusters=11)


def test_the_embedded_towers_fit_into_eight_megabytes() -> None:
    for recipe in (mlcd_tiny(), unicom_tiny()):
        tower = VisionTower(recipe.pretrain.tower)
        assert 2 * sum(value.numel() for value in tower.state_dict().values()) < 8e6
