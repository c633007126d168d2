"""Where a tower's training starts from, and what stops it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mlcd.core.images import ImageSource, Preprocess
from mlcd.core.towers import VisionTower, load_tower, presets, save_tower
from mlcd.core.towers.config import TowerConfig
from mlcd.training.loop import LoopSettings
from mlcd.training.losses.mlcd import MLCD
from mlcd.training.recipes.pretrain_recipe import PretrainRecipe
from mlcd.training.recipes.pretrain_towers import pretrain_tower, starting_tower
from mlcd.training.run_log import read_lines

SMALL = {"width": 32, "depth": 1, "num_heads": 2, "mlp_width": 32, "image_size": 32}
CLIP = replace(presets.mlcd_b32_224(), patch_size=8, preprocess=Preprocess(size=32), **SMALL)
RECIPE = PretrainRecipe(
    tower=CLIP, loss=MLCD(), num_labels=2, batch_size=4, epochs=4, lr=1e-3, sample_rate=0.5
)
LABELS = np.arange(16).reshape(8, 2) % 6
QUICK = LoopSettings(workers=0, log_every=1, checkpoint_every=100, tensorboard=False)


@dataclass
class Grey:
    """Eight grey pictures."""

    brightness: int = 20

    def __len__(self) -> int:
        return 8

    def read(self, index: int) -> ImageSource:
        return np.full((40, 40, 3), self.brightness * index, np.uint8)

    def name(self, index: int) -> str:
        return f"grey {index}"

    def digest(self) -> str:
        return f"grey {self.brightness}"


def at_size(config: TowerConfig, size: int) -> TowerConfig:
    return replace(config, image_size=size, preprocess=replace(config.preprocess, size=size))


def train(output: Path, recipe: PretrainRecipe = RECIPE, **others: object) -> Path | None:
    given = {"pictures": Grey(), "labels": LABELS, "num_classes": 6, "loop": QUICK, **others}
    return pretrain_tower(recipe, output=output, **given)  # type: ignore[arg-type]


def test_the_average_is_kept_and_its_card_says_what_made_it(tmp_path: Path) -> None:
    recipe = replace(RECIPE, average_decay=0.5, sources={"lr": "ours"})
    model = train(tmp_path, recipe, card={"licence": "Apache-2.0"})
    assert model is not None
    saved = load_file(tmp_path / "checkpoints/step-00000008/model.safetensors")
    kept = load_tower(model).state_dict()["post_norm.weight"]
    assert torch.equal(kept, saved["average.tower.post_norm.weight"])
    assert not torch.equal(kept, saved["model.tower.post_norm.weight"])
    card = (model / "model_card.json").read_text()
    assert '"lr": "ours"' in card
    assert '"licence": "Apache-2.0"' in card


def test_a_finished_run_is_not_run_again_and_other_pictures_are_refused(tmp_path: Path) -> None:
    model = train(tmp_path)
    assert model is not None
    before = load_tower(model).weights_sha256()
    assert train(tmp_path) == model
    assert load_tower(model).weights_sha256() == before
    assert len(read_lines(tmp_path / "losses.jsonl")) == 8
    with pytest.raises(ValueError, match="pictures was 'grey 20' and is 'grey 30'"):
        train(tmp_path, pictures=Grey(brightness=30))
    with pytest.raises(ValueError, match="labels was"):
        train(tmp_path, labels=LABELS[::-1].copy())


def test_a_loss_that_is_not_finite_stops_the_run_with_its_batch(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"step \d: .* is (nan|inf).*stopped-at-step-\d-rank-0"):
        train(tmp_path, replace(RECIPE, lr=1e30, clip=1e30))
    (saved,) = tmp_path.glob("stopped-at-step-*.safetensors")
    batch = load_file(saved)
    assert batch["images"].shape == (4, 32, 32, 3)
    assert batch["labels"].shape == (4, 2)
    assert not (tmp_path / "model").exists()


def test_fewer_labels_than_the_recipe_wants_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="wants 3 labels a picture, the file has 2"):
        train(tmp_path, replace(RECIPE, num_labels=3))


def test_a_recipe_that_goes_on_from_a_tower_wants_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--start"):
        train(tmp_path, replace(RECIPE, needs_start=True))


def test_learned_positions_are_brought_to_the_size_as_the_tower_itself_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    small = VisionTower(CLIP).eval()
    save_tower(small, tmp_path / "small")
    large = starting_tower(at_size(CLIP, 48), tmp_path / "small").eval()
    pixels = torch.randn(2, 3, 48, 48)
    torch.testing.assert_close(large(pixels).pooled, small(pixels).pooled)
    assert large.embedding.positions is not None
    assert large.embedding.positions.shape == (1 + 36, 32)


@pytest.mark.parametrize("form", ["unicom", "rope2d"])
def test_other_forms_start_at_another_size_too(form: str, tmp_path: Path) -> None:
    config = replace(CLIP, form=form)
    save_tower(VisionTower(config), tmp_path / "small")
    large = starting_tower(at_size(config, 48), tmp_path / "small")
    assert large.config == at_size(config, 48)
    assert large(torch.randn(2, 3, 48, 48)).pooled.shape == (2, 32)


def test_another_architecture_is_refused_by_what_differs(tmp_path: Path) -> None:
    save_tower(VisionTower(CLIP), tmp_path / "small")
    with pytest.raises(ValueError, match="another tower than the recipe's: depth 1 instead of 2"):
        starting_tower(replace(CLIP, depth=2), tmp_path / "small")


def test_with_muon_a_run_that_was_cut_off_goes_on_bit_for_bit(tmp_path: Path) -> None:
    recipe = replace(RECIPE, matrix_lr=0.02)
    whole = train(tmp_path / "whole", recipe)
    every_step = replace(QUICK, checkpoint_every=3, keep_checkpoints=9)
    train(tmp_path / "cut", recipe, loop=every_step)
    for later in ("step-00000006", "step-00000008"):
        shutil.rmtree(tmp_path / "cut" / "checkpoints" / later)
    shutil.rmtree(tmp_path / "cut" / "model")
    again = train(tmp_path / "cut", recipe, loop=every_step)
    assert whole is not None
    assert again is not None
    assert load_tower(again).weights_sha256() == load_tower(whole).weights_sha256()
    plain = train(tmp_path / "plain")
    assert plain is not None
    assert load_tower(plain).weights_sha256() != load_tower(whole).weights_sha256()


def test_a_run_of_few_steps_has_a_curve_and_not_one_dot(tmp_path: Path) -> None:
    seldom = LoopSettings(workers=0, log_every=10, checkpoint_every=100, tensorboard=False)
    assert train(tmp_path, loop=seldom) is not None
    steps = [line["step"] for line in read_lines(tmp_path / "losses.jsonl") if "step" in line]
    assert steps == list(range(1, 9))
