"""The things recipe learns, and a run that was cut off ends as one that was not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from mlcd.core.towers import load_tower, presets
from mlcd.training.data.step_data import StepBatch
from mlcd.training.loop import LoopSettings
from mlcd.training.losses.pair_contrast import pair_contrast
from mlcd.training.recipes.train_things import (
    ThingsModel,
    ThingsRecipe,
    things_update,
    train_things,
)
from mlcd.training.update import Update

TOY = ThingsRecipe(steps=4, pairs=6, warmup_steps=1)
QUICK = LoopSettings(checkpoint_every=2, workers=1, log_every=1, tensorboard=False)


class CutOffError(Exception):
    """Stands for a kill in the middle of a run."""


def trained(recipe: ThingsRecipe, output: Path) -> Path:
    folder = train_things(recipe, output, loop=QUICK)
    assert folder is not None
    return folder


def test_an_interrupted_run_gives_the_same_weights_as_an_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = load_tower(trained(TOY, tmp_path / "unbroken"))
    whole_step = Update.__call__

    def cut_off_at_3(self: Update, batch: StepBatch, step: int) -> dict[str, float]:
        if step == 3:
            raise CutOffError
        return whole_step(self, batch, step)

    with monkeypatch.context() as patched:
        patched.setattr(Update, "__call__", cut_off_at_3)
        with pytest.raises(CutOffError):
            trained(TOY, tmp_path / "broken")
    resumed = load_tower(trained(TOY, tmp_path / "broken"))
    assert resumed.weights_sha256() == unbroken.weights_sha256()


def test_a_folder_of_another_recipe_is_refused(tmp_path: Path) -> None:
    trained(TOY, tmp_path)
    with pytest.raises(ValueError, match="seed was 0 and is 1"):
        trained(replace(TOY, seed=1), tmp_path)


def test_the_loss_falls_on_a_batch_that_is_seen_again_and_again() -> None:
    update, views = things_update(replace(TOY, steps=100, pairs=8, lr=3e-4))
    batch = views.batch(0, rank=0, ranks=1)
    losses = [update(batch, step)["loss"] for step in range(15)]
    assert losses[-1] < 0.7 * losses[0]


def test_the_model_sees_the_two_pictures_of_a_pair_as_a_pair() -> None:
    """The losses are those of the pictures prepared and embedded one view at a time."""
    update, views = things_update(TOY)
    model, tensors = update.model.eval(), views.batch(1, rank=0, ranks=1).tensors
    assert isinstance(model, ThingsModel)
    tower = model.embedder.tower
    with torch.no_grad():
        prepare = tower.config.preprocess.at_size(64)
        first, second = (
            tower(prepare.batch(list(tensors["images"][:, view].numpy()))).pooled for view in (0, 1)
        )
        losses = model(tensors)
    contrast = pair_contrast(first, second, logit_scale=TOY.contrast_scale)
    assert losses["contrast"].item() == pytest.approx(contrast.item(), rel=1e-4)
    softmax = model.head(torch.cat([first, second]), tensors["labels"].repeat(2))
    assert losses["softmax"].item() == pytest.approx(softmax.item(), rel=1e-4)
    targets = tensors["targets"]
    cosines = [functional.cosine_similarity(view, targets) for view in (first, second)]
    target = 1 - torch.cat(cosines).mean()
    assert losses["target"].item() == pytest.approx(target.item(), rel=1e-4)
    total = 5.0 * target + 0.5 * contrast + 0.1 * softmax
    assert losses["loss"].item() == pytest.approx(total.item(), rel=1e-4)


def test_every_parameter_has_one_optimizer_and_only_hidden_matrices_have_muon() -> None:
    update, _ = things_update(TOY)
    muon, adamw = (
        [p for group in optimizer.param_groups for p in group["params"]]
        for optimizer in update.optimizers
    )
    everything = sorted(id(p) for p in update.model.parameters())
    assert sorted(id(p) for p in (*muon, *adamw)) == everything
    assert len(muon) == 4 * presets.things_tiny().depth
    assert all(p.ndim == 2 for p in muon)


def test_several_ranks_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one rank, got rank 0 of 2"):
        things_update(TOY)[1].batch(0, rank=0, ranks=2)


def test_the_model_folder_says_where_its_weights_come_from(tmp_path: Path) -> None:
    folder = trained(TOY, tmp_path)
    card = json.loads((folder / "model_card.json").read_text())
    assert card["recipe"]["settings"]["steps"] == 4
    assert card["licence"]
    assert "1,428" in card["data"]
    assert card["weights_sha256"] == load_tower(folder).weights_sha256()
