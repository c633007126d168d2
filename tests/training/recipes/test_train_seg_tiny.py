"""`seg-tiny` at toy size: its data are what they say, it learns, goes on, and fits the package."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.training.recipes.test_train_embodied_tiny import RECIPE as EMBODIED

from mlcd.apps.seg import Segmenter
from mlcd.apps.seg.sam import Sam
from mlcd.apps.seg.sam_files import save_sam
from mlcd.apps.seg.starting import join
from mlcd.core.language.loading import save_vlm
from mlcd.training.data.samples import SampleMaker, num_tokens
from mlcd.training.loop import LoopSettings
from mlcd.training.recipes.playroom_phrases import PlayroomPhrases
from mlcd.training.recipes.pretrain_sam import SamRecipe
from mlcd.training.recipes.train_embodied_tiny import fresh_vlm
from mlcd.training.recipes.train_seg_tiny import (
    SegTinyRecipe,
    plan_seg_tiny,
    seg_tiny_source,
    train_seg_tiny,
)
from mlcd.training.run_log import read_lines
from mlcd.training.seg.samples import SegSampleMaker

WORDS = SegTinyRecipe().seg.words
QUIET = LoopSettings(log_every=1, workers=0, tensorboard=False)


def save_parts(folder: Path, *, is_small: bool) -> SegTinyRecipe:
    """A recipe that begins with fresh weights."""
    embodied, sam = EMBODIED, SamRecipe()
    if is_small:
        embodied = replace(EMBODIED, width=64, depth=1, mlp_width=96)
        sam = replace(sam, width=32, depth=1, num_heads=2, mlp_width=48, global_blocks=(0,),
                      decoder_mlp_width=48)  # fmt: skip
    vlm = fresh_vlm(embodied)
    save_vlm(vlm, folder / "vlm")
    save_sam(Sam(sam.config()), folder / "sam")
    seg = SegTinyRecipe().seg
    return SegTinyRecipe(
        vlm=str(folder / "vlm"), sam=str(folder / "sam"), phrases=24, questions=8, most_phrases=3,
        seg=replace(seg, language=replace(seg.language, batch_size=8)),
    )  # fmt: skip


def test_phrases_follow_from_their_number_and_have_the_masks_of_what_they_mean() -> None:
    source = PlayroomPhrases(count=40, seed=3, words=WORDS)
    first, again = source.read(4), source.read(4)
    assert first.messages == again.messages
    assert np.array_equal(first.masks[0], again.masks[0])
    assert source.read(5).messages != first.messages
    absent = 0
    for index in range(20):
        conversation = source.read(index)
        answers = [m["content"] for m in conversation.messages if m["role"] == "assistant"]
        assert len(answers) <= 6
        assert len(conversation.masks) == answers.count(WORDS.answer)
        shape = np.asarray(conversation.pictures[0]).shape[:2]
        assert all(np.asarray(m).shape == shape and np.any(m) for m in conversation.masks)
        absent += answers.count(WORDS.absent)
    assert absent > 0
    assert source.digest() != replace(source, most_phrases=2).digest()


def test_every_conversation_fits() -> None:
    vlm = fresh_vlm(EMBODIED)
    language = SegTinyRecipe().seg.language
    vlm.config = language.config_for(vlm.config.tower, vlm.config.language)
    model = join(vlm, Sam(SamRecipe().config()), question=WORDS.question, answer=WORDS.answer)
    assert vlm.tokenizer is not None
    make = SegSampleMaker(
        words=SampleMaker(config=vlm.config, tokenizer=vlm.tokenizer, mask="clean"),
        sam=model.config.sam,
        seg_id=model.config.seg_id,
    )
    source = seg_tiny_source(replace(SegTinyRecipe(), phrases=10, questions=4))
    for index in range(len(source)):
        conversation = source.read(index)
        example = make(conversation)
        assert len(example.masks) == len(conversation.masks)
        words, _, tiles = example.sample.conversation
        assert len(words) - 1 + sum(num_tokens(t, vlm.config) for t in tiles) < 512


def test_it_is_small_enough_for_the_package(tmp_path: Path) -> None:
    plan = plan_seg_tiny(save_parts(tmp_path, is_small=False))
    assert isinstance(plan["megabytes"], float)
    assert plan["megabytes"] < 16


def test_it_learns_and_answers(tmp_path: Path) -> None:
    recipe = save_parts(tmp_path, is_small=True)
    folder = train_seg_tiny(recipe, tmp_path / "run", loop=QUIET)
    assert folder == tmp_path / "run" / "model"
    losses = [line["loss"] for line in read_lines(tmp_path / "run" / "losses.jsonl")]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    image = np.asarray(PlayroomPhrases(count=1).read(0).pictures[0])
    found = Segmenter.load(folder).segment(image, "the red cat", force=True)
    assert found.masks[0].shape == image.shape[:2]
    with pytest.raises(ValueError, match="other settings"):
        train_seg_tiny(replace(recipe, phrases=32), tmp_path / "run")
