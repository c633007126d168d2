"""The things recipe learns, and a run that was cut off ends as one that was not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mlcd.core.towers import load_tower
from mlcd.training.recipes import train_things as module
from mlcd.training.recipes.train_things import ThingsRecipe, ThingsTraining, train_things

TOY = ThingsRecipe(steps=4, pairs=6, warmup_steps=1)


class CutOffError(Exception):
    """Stands for a kill in the middle of a run."""


def test_an_interrupted_run_gives_the_same_weights_as_an_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = load_tower(train_things(TOY, tmp_path / "unbroken", checkpoint_every=2))
    step = ThingsTraining.step

    def cut_off_at_3(self: ThingsTraining, number: int, batch: object) -> dict[str, float]:
        if number == 3:
            raise CutOffError
        return step(self, number, batch)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(module.ThingsTraining, "step", cut_off_at_3)
        with pytest.raises(CutOffError):
            train_things(TOY, tmp_path / "broken", checkpoint_every=2)
    resumed = load_tower(train_things(TOY, tmp_path / "broken", checkpoint_every=2))
    assert resumed.weights_sha256() == unbroken.weights_sha256()


def test_a_folder_of_another_recipe_is_refused(tmp_path: Path) -> None:
    train_things(TOY, tmp_path, checkpoint_every=2)
    with pytest.raises(ValueError, match="seed was 0 and is 1"):
        train_things(replace(TOY, seed=1), tmp_path)


def test_the_loss_falls_on_a_batch_that_is_seen_again_and_again() -> None:
    torch.manual_seed(0)
    training = ThingsTraining(replace(TOY, steps=100, pairs=8, lr=3e-4))
    batch = training.views[0]
    losses = [training.step(step, batch)["loss"] for step in range(15)]
    assert losses[-1] < 0.7 * losses[0]


def test_the_learning_rates_warm_up_and_end_at_zero() -> None:
    recipe = ThingsRecipe(steps=100, warmup_steps=10)
    shares = [recipe.lr_share(step) for step in range(101)]
    assert shares[0] == pytest.approx(0.1)
    assert max(shares) == shares[9] == shares[10] == 1.0
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert shares[100] == pytest.approx(0.0)


def test_every_parameter_has_one_optimizer_and_only_hidden_matrices_have_muon() -> None:
    training = ThingsTraining(TOY)
    muon, adamw = (
        [p for group in optimizer.param_groups for p in group["params"]]
        for optimizer in training.optimizers
    )
    everything = sorted(id(p) for p in training.modules.parameters())
    assert sorted(id(p) for p in (*muon, *adamw)) == everything
    assert len(muon) == 4 * training.tower.config.depth
    assert all(p.ndim == 2 for p in muon)


def test_the_model_folder_says_where_its_weights_come_from(tmp_path: Path) -> None:
    folder = train_things(TOY, tmp_path, checkpoint_every=2)
    card = json.loads((folder / "model_card.json").read_text())
    assert card["recipe"]["settings"]["steps"] == 4
    assert card["licence"]
    assert "1,428" in card["data"]
    assert card["weights_sha256"] == load_tower(folder).weights_sha256()
