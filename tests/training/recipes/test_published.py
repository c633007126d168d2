"""The published recipes have the papers' numbers, and each number says where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import pytest

from mlcd.training.losses.mlcd import MLCD
from mlcd.training.recipes import published
from mlcd.training.recipes.pretrain_recipe import PretrainRecipe

RECIPES: list[Callable[[], PretrainRecipe]] = [
    value
    for name, value in vars(published).items()
    if callable(value) and name.startswith(("mlcd_", "unicom_"))
]


def test_all_published_runs_are_there() -> None:
    assert {recipe.__name__ for recipe in RECIPES} == {
        "unicom_b32", "unicom_b16", "unicom_l14", "unicom_l14_336",
        "mlcd_b32", "mlcd_b16", "mlcd_l14", "mlcd_l14_336", "mlcd_bigg14",
        "unicom_imagenet_b32", "unicom_imagenet_b16", "unicom_imagenet_l14",
    }  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_number_has_a_source(recipe: Callable[[], PretrainRecipe]) -> None:
    made = recipe()
    assert made.sources.keys() == {field.name for field in fields(made)} - {"sources"}
    assert all(made.sources.values())
    assert recipe.__doc__


def test_mlcd_has_the_numbers_of_the_paper() -> None:
    base, large = published.mlcd_b32(), published.mlcd_l14()
    assert (base.lr, large.lr) == (5e-4, 4e-4)
    assert (base.embed_dim, large.embed_dim) == (512, 768)
    for recipe in (base, large):
        assert isinstance(recipe.loss, MLCD)
        assert (recipe.loss.margin, recipe.num_labels, recipe.sample_rate) == (0.3, 8, 0.1)
        assert (recipe.batch_size, recipe.epochs, recipe.weight_decay) == (32_800, 32, 0.2)
        assert (recipe.warmup_steps, recipe.num_classes) == (2_000, 1_000_000)
    assert large.tower.image_size == large.tower.preprocess.size == 224
    assert large.batch_size / 80 == 410
    assert "1e-3" in base.sources["lr"]


def test_the_large_sizes_go_on_from_the_small_ones_for_one_epoch() -> None:
    for recipe in (published.mlcd_l14_336(), published.unicom_l14_336()):
        assert (recipe.tower.image_size, recipe.epochs, recipe.needs_start) == (336, 1, True)


def test_fine_tuning_on_imagenet_has_the_sizes_of_the_table() -> None:
    recipes = (published.unicom_imagenet_b32(), published.unicom_imagenet_l14())
    assert [recipe.tower.image_size for recipe in recipes] == [384, 518]
    assert all(recipe.num_classes == 1_000 and recipe.sample_rate == 1 for recipe in recipes)


def test_unicom_is_trained_on_one_label_and_half_of_the_dimensions() -> None:
    recipe = published.unicom_b32()
    assert (recipe.num_labels, recipe.num_sampled_dims) == (1, 256)
    assert "not verified" in recipe.sources["num_sampled_dims"]


def test_32_epochs_of_laion_are_the_steps_that_the_batch_gives() -> None:
    assert published.mlcd_b32().num_steps(389_737_314) == 380_231
    schedule = published.mlcd_b32().schedule_for(389_737_314)
    assert schedule(1_999) == 1.0
    assert schedule(380_230) < 1e-9
