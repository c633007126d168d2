"""A run learns masks and words, goes on where it was, and gives a model that loads and segments."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from tests.training.language_toys import save_toy, write_conversations
from tests.training.seg_toys import SEG_TOY, save_toy_sam, train, write_phrases

from mlcd.apps.seg import Segmenter
from mlcd.apps.seg.loading import load_seg
from mlcd.apps.seg.source import seg_weights
from mlcd.training.lora import Lora
from mlcd.training.run_log import read_lines
from mlcd.training.seg.loss import SegRates


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_conversations(folder, count=4)
    write_phrases(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy(tmp_path_factory.mktemp("toy") / "model")


@pytest.fixture(scope="module")
def sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy_sam(tmp_path_factory.mktemp("sam") / "sam")


@pytest.fixture(scope="module")
def tuned(data: Path, model: Path, sam: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a checkpoint half way: 12 conversations with masks and 4 without, 4 a step."""
    run = tmp_path_factory.mktemp("tuned") / "run"
    assert train(SEG_TOY, data, model, sam, run, loop={"checkpoint_every": 2}) == run / "model"
    return run


def losses(run: Path) -> list[float]:
    return [line["loss"] for line in read_lines(run / "losses.jsonl")]


def test_the_model_answers_phrases(tuned: Path, data: Path) -> None:
    segmenter = Segmenter.load(tuned / "model")
    assert segmenter.model.config.question == SEG_TOY.words.question
    with PIL.Image.open(data / "p0.png") as picture:
        found = segmenter.segment(np.asarray(picture), "the red one", force=True)
    assert len(found.masks) == 1
    assert found.masks[0].shape == (40, 70)
    lines = read_lines(tuned / "losses.jsonl")
    assert len(lines) == 4
    for line in lines:
        assert line["loss"] == pytest.approx(line["words"] + line["masks"], rel=1e-5)
        masks = 2 * line["masks.cross_entropy"] + 0.5 * line["masks.dice"]
        assert line["masks"] == pytest.approx(masks, rel=1e-4)


def test_parts_of_a_batch_change_nothing(
    tuned: Path, data: Path, model: Path, sam: Path, tmp_path: Path
) -> None:
    """Though one part has more masks than the other."""
    recipe = replace(SEG_TOY, language=replace(SEG_TOY.language, accumulate=2))
    train(recipe, data, model, sam, tmp_path / "run")
    for name in ("loss", "words", "masks", "masks.iou"):
        whole, parts = (
            [line[name] for line in read_lines(run / "losses.jsonl")]
            for run in (tuned, tmp_path / "run")
        )
        assert parts == pytest.approx(whole, rel=1e-4), name


def test_what_learns_changes_and_nothing_else(
    tuned: Path, data: Path, model: Path, sam: Path, tmp_path: Path
) -> None:
    short = replace(SEG_TOY, language=replace(SEG_TOY.language, epochs=0.25))  # one step
    still = replace(
        short, language=replace(short.language, rates=replace(short.language.rates, tower=None))
    )
    first = train(short, data, model, sam, tmp_path / "first")
    second = train(still, data, model, sam, tmp_path / "second")
    assert first is not None
    assert second is not None
    one, other = (seg_weights(load_seg(folder)) for folder in (first, second))
    begun = seg_weights(load_seg(tuned / "model"))
    frozen = [key for key in begun if key.startswith("sam.") and torch.equal(begun[key], one[key])]
    assert {".".join(key.split(".")[:2]) for key in frozen} >= {"sam.vision_encoder"}
    assert not any(key.startswith("sam.mask_decoder.transformer") for key in frozen)
    assert all(key in frozen for key in begun if key.startswith("sam.vision_encoder."))
    towers = [key for key in one if key.startswith("vlm.tower.blocks.0.")]
    assert any(not torch.equal(one[key], other[key]) for key in towers)
    assert not torch.equal(one["text_to_prompt.0.weight"], begun["text_to_prompt.0.weight"])


def test_a_run_goes_on_where_it_was_cut_off(
    tuned: Path, data: Path, model: Path, sam: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "run"
    shutil.copytree(tuned, cut)
    shutil.rmtree(cut / "model")
    shutil.rmtree(cut / "checkpoints" / "step-00000004", ignore_errors=True)
    assert train(SEG_TOY, data, model, sam, cut, loop={"checkpoint_every": 2}) == cut / "model"
    assert losses(cut) == losses(tuned)
    one, other = (seg_weights(load_seg(run / "model")) for run in (tuned, cut))
    assert all(torch.equal(one[key], other[key]) for key in one)
    changed = replace(SEG_TOY, dice_weight=1.0)
    with pytest.raises(ValueError, match="dice_weight"):
        train(changed, data, model, sam, cut)


def test_kept_embeddings_train_about_the_same(
    tuned: Path, data: Path, model: Path, sam: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    train(SEG_TOY, data, model, sam, tmp_path / "run", cache=cache)
    assert losses(tmp_path / "run") == pytest.approx(losses(tuned), rel=2e-2)
    assert len(list(cache.rglob("*.safetensors"))) == 6
    encoder = replace(SEG_TOY, rates=SegRates(text_to_prompt=1e-3, image_encoder=1e-4))
    with pytest.raises(ValueError, match="frozen encoder"):
        train(encoder, data, model, sam, tmp_path / "other", cache=cache)


def test_a_segmentation_model_is_trained_further_with_lora(
    tuned: Path, data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    language = replace(SEG_TOY.language, lora=Lora(rank=2, dropout=0.0))
    recipe = replace(SEG_TOY, language=language)
    folder = train(recipe, data, tuned / "model", None, tmp_path / "run")
    assert folder is not None
    before, after = (seg_weights(load_seg(each)) for each in (tuned / "model", folder))
    assert before.keys() == after.keys()
    name = "vlm.language.model.layers.0.self_attn.q_proj.weight"
    assert not torch.equal(before[name], after[name])
    assert torch.equal(
        before["vlm.language.model.embed_tokens.weight"],
        after["vlm.language.model.embed_tokens.weight"],
    )
