"""The embedded model is trained in two stages on what the playroom makes up, and measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mlcd.core.language.loading import load_vlm
from mlcd.training.data.samples import SampleMaker, num_tokens
from mlcd.training.loop import LoopSettings
from mlcd.training.recipes.measure_embodied import measure_embodied, summary
from mlcd.training.recipes.playroom_conversations import PlayroomConversations
from mlcd.training.recipes.train_embodied_tiny import (
    EmbodiedTinyRecipe,
    fresh_vlm,
    plan_embodied_tiny,
    train_embodied_tiny,
)
from mlcd.training.run_log import read_lines

RECIPE = EmbodiedTinyRecipe(tower="things-tiny")


def small() -> EmbodiedTinyRecipe:
    align, tune = (replace(stage, batch_size=8) for stage in (RECIPE.align, RECIPE.tune))
    return replace(
        RECIPE, captions=24, questions=16, num_single=24, width=64, depth=2, mlp_width=96,
        align=align, tune=tune,
    )  # fmt: skip


def test_it_is_small_enough_for_the_package() -> None:
    plan = plan_embodied_tiny(RECIPE)
    assert isinstance(plan["megabytes"], float)
    assert plan["megabytes"] < 14
    assert plan["steps"] == {"align": 1250, "tune": 2500}


def test_conversations_follow_from_their_number() -> None:
    source = PlayroomConversations(about="questions", count=5, seed=3)
    first, again = source.read(4), source.read(4)
    assert first.messages == again.messages
    assert np.array_equal(np.asarray(first.pictures[0]), np.asarray(again.pictures[0]))
    assert source.read(3).messages != first.messages
    assert first.keys == ["questions-3-4"]
    assert source.has_pictures().all()
    assert source.digest() != replace(source, seed=4).digest()


def test_every_conversation_fits_and_small_things_are_not_shrunk_away() -> None:
    vlm = fresh_vlm(RECIPE)
    config = RECIPE.tune.config_for(vlm.config.tower, vlm.config.language)
    assert vlm.tokenizer is not None
    make = SampleMaker(config=config, tokenizer=vlm.tokenizer, mask="clean")
    source = PlayroomConversations(about="questions", count=40)
    shapes = set()
    for index in range(12):
        conversation = source.read(index)
        sample = make(conversation)
        (tiles,) = sample.tiles
        shapes.add(tiles.grid)
        assert len(tiles) in (10, 13)
        assert len(sample.ids) - 1 + num_tokens(tiles, config) < config.max_length
    assert len(shapes) > 1  # pictures lie and stand


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    loop = LoopSettings(log_every=1, workers=0, tensorboard=False)
    assert train_embodied_tiny(small(), folder, loop=loop) == folder / "model"
    return folder


def test_both_stages_learn(trained: Path) -> None:
    for stage, steps in (("align", 3), ("tune", 2)):
        losses = [line["loss"] for line in read_lines(trained / stage / "losses.jsonl")]
        assert len(losses) == steps
        assert losses[-1] < losses[0]


def test_the_second_stage_goes_on_with_the_weights_of_the_first(trained: Path) -> None:
    vlm, start = load_vlm(trained / "model"), load_vlm(trained / "align" / "model")
    assert vlm.config.template == "qwen_1_5"
    assert start.config.template == "plain"
    fresh = fresh_vlm(small())
    for name in ("projector.0.weight", "language.model.layers.1.mlp.up_proj.weight"):
        value, before = vlm.state_dict()[name], start.state_dict()[name]
        moved = (value - before).abs().mean()
        assert 0 < moved < (value - fresh.state_dict()[name]).abs().mean()
    assert torch.equal(
        start.tower.blocks[0].mlp.fc1.weight, fresh.tower.blocks[0].mlp.fc1.weight
    )  # stage 1 does not touch the tower


def test_another_recipe_is_refused(trained: Path) -> None:
    with pytest.raises(ValueError, match="other settings"):
        train_embodied_tiny(replace(small(), captions=32), trained)


def test_it_is_measured_beside_what_it_gets_without_seeing(trained: Path, tmp_path: Path) -> None:
    results = measure_embodied(trained / "model", tmp_path, per_kind=2, num_training=4)
    assert set(results) == {
        f"{test}-{shown}"
        for test in ("testA", "testB")
        for shown in ("own", "shuffled", "none", "base-tile")
    }
    for result in results.values():
        assert 0 <= result.metrics["mean"] <= 1
    assert len(results["testA-own"].samples()) == 18
    assert any(line.startswith("testA: mean over kinds") for line in summary(results))
    again = measure_embodied(trained / "model", tmp_path, per_kind=2, num_training=4)
    assert again["testB-none"].metrics == results["testB-none"].metrics
