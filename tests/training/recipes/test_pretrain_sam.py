"""`pretrain-sam` on toy sizes: it learns, goes on after a kill, and is measured on new things."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import SamModel

from mlcd.apps.seg.sam_files import load_sam
from mlcd.playroom import things
from mlcd.playroom.mask_scenes import draw_mask_scene
from mlcd.training.loop import LoopSettings
from mlcd.training.recipes.measure_sam import (
    drawn_picture,
    innermost,
    measure_picture,
    measure_sam,
)
from mlcd.training.recipes.pretrain_sam import (
    ORIGINAL,
    SamRecipe,
    plan_sam,
    pretrain_sam,
    wrong_points,
)
from mlcd.training.recipes.sam_pictures import SamPictures

TOY = SamRecipe(
    image_size=64,
    width=32,
    depth=2,
    num_heads=2,
    mlp_width=64,
    window_size=4,
    global_blocks=(1,),
    prompt_width=32,
    decoder_mlp_width=32,
    iou_width=16,
    steps=6,
    batch_size=2,
    prompts=2,
    refined_share=0.6,
    several_share=0.3,
    warmup_steps=2,
)
QUIET = LoopSettings(workers=0, tensorboard=False, checkpoint_every=2)


def test_a_run_that_was_cut_off_ends_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    whole = pretrain_sam(TOY, tmp_path / "whole", loop=QUIET)
    assert whole is not None
    cut = replace(QUIET, keep_checkpoints=3)
    other = tmp_path / "cut"
    assert pretrain_sam(TOY, other, loop=cut) is not None
    (other / "checkpoints" / "step-00000004").rename(other / "kept")
    for later in (other / "checkpoints").iterdir():
        for file in later.iterdir():
            file.unlink()
        later.rmdir()
    (other / "kept").rename(other / "checkpoints" / "step-00000004")
    before = (other / "model" / "model.safetensors").read_bytes()
    (other / "model" / "model.safetensors").unlink()
    assert pretrain_sam(TOY, other, loop=QUIET) is not None
    assert (other / "model" / "model.safetensors").read_bytes() == before
    assert (whole / "model.safetensors").read_bytes() == before


def test_the_folder_is_transformers_and_the_file_beside_it_the_same_in_original_names(
    tmp_path: Path,
) -> None:
    folder = pretrain_sam(replace(TOY, steps=1), tmp_path, loop=QUIET)
    assert folder is not None
    ours, original = load_sam(folder), load_sam(folder / ORIGINAL)
    theirs, info = SamModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        wanted = theirs.get_image_embeddings(pixels).float()
        for sam in (ours, original):
            torch.testing.assert_close(sam.encode(pixels), wanted, atol=1e-4, rtol=0)


def test_what_it_loses_falls(tmp_path: Path) -> None:
    pretrain_sam(replace(TOY, steps=40, warmup_steps=5), tmp_path, loop=QUIET)
    lines = [json.loads(line) for line in (tmp_path / "losses.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert np.mean(losses[-4:]) < np.mean(losses[:4])


def test_pictures_follow_from_the_step_and_ranks_share_them() -> None:
    pictures = SamPictures(config=TOY.config(), batch_size=4, prompts=2)
    whole = pictures.batch(3, rank=0, ranks=1).tensors
    again = pictures.batch(3, rank=0, ranks=1).tensors
    second = pictures.batch(3, rank=1, ranks=2).tensors
    for name, value in whole.items():
        assert torch.equal(value, again[name]), name
        assert torch.equal(value[1::2], second[name]), name
    for row, place in np.ndindex(4, 2):
        x, y = whole["points"][row, place].int().tolist()
        assert whole["masks"][row, place, y, x], "a point lies on its thing"
    with pytest.raises(ValueError, match="4 pictures cannot be shared out evenly to 3 ranks"):
        pictures.batch(0, rank=0, ranks=3)


def test_training_never_sees_a_thing_that_is_measured() -> None:
    random = np.random.default_rng(0)
    drawn = draw_mask_scene(random, things.training_things(), "noto", longer=64, least_area=1)
    assert not any(thing.placed.thing.is_test for thing in drawn.things)
    measured = drawn_picture("fluent", 0, 0)
    assert all(thing.placed.thing in things.test_things() for thing in measured.things)
    assert all(thing.placed.style == "fluent" for thing in measured.things)


def test_measuring_gives_a_number_for_each_style_and_prompt_once(tmp_path: Path) -> None:
    folder = pretrain_sam(replace(TOY, steps=1), tmp_path, loop=QUIET)
    assert folder is not None
    result = measure_sam(folder, tmp_path / "result", count=2)
    assert set(result.metrics) == {
        f"{style}, {prompt}"
        for style in ("noto", "fluent")
        for prompt in ("box", "point", "filled box")
    }
    found = measure_picture(load_sam(folder), drawn_picture("noto", 0, 0))
    measured = result.samples()[0]["ious"]
    for prompt, ious in found.items():
        assert measured[prompt] == pytest.approx(ious, abs=1e-6)
    assert result.metrics["noto, filled box"] > 0.3, "a box covers most of its thing"
    assert measure_sam(folder, tmp_path / "result", count=2).metrics == result.metrics


def test_points_are_drawn_where_the_mask_is_wrong_and_on_the_thing_where_it_is_right() -> None:
    masks = torch.zeros(3, 4, 4, dtype=torch.bool)
    masks[:, 1, 1:3] = True
    logits = torch.where(masks, 5.0, -5.0)
    logits[0, 1, 2] = -5.0  # missed
    logits[1, 3, 0] = 5.0  # there is nothing
    points, is_missed = wrong_points(logits, masks)
    assert points[:2].tolist() == [[2, 1], [0, 3]]
    assert is_missed.tolist() == [True, False, True]
    assert points[2].tolist() in ([1, 1], [2, 1])


def test_the_innermost_pixel_is_in_the_middle_of_what_is_thick() -> None:
    mask = np.zeros((9, 12), np.bool_)
    mask[4, :] = True
    mask[2:7, 6:11] = True
    assert innermost(mask) == (8, 4)


def test_the_plan_counts_the_models_parts() -> None:
    plan = plan_sam(SamRecipe())
    assert plan["megabytes"] <= 2.4  # type: ignore[operator]
    assert plan["pictures"] == SamRecipe().steps * SamRecipe().batch_size
