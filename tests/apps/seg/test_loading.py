"""Folders of ours, the published layout, and the parts that training starts with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.apps.seg.published import change_weights, publish
from tests.apps.seg.toy_sam import random_sam
from tests.apps.seg.toy_seg import LANGUAGE, random_seg, trained_seg
from tests.core.language.toy_models import random_vlm, speckled
from tests.core.language.toy_tokenizer import VOCAB_SIZE, byte_tokenizer

from mlcd.apps.seg import Segmenter
from mlcd.apps.seg.loading import load_seg, save_seg
from mlcd.apps.seg.model import SegmentationModel
from mlcd.apps.seg.sam import sam_weights
from mlcd.apps.seg.sam_files import export_original, save_sam
from mlcd.apps.seg.source import recognise, seg_weights
from mlcd.apps.seg.starting import start_seg
from mlcd.core.language import save_vlm
from mlcd.core.language.formats.tokenizers import save_tokenizer


def have_same_weights(first: SegmentationModel, second: SegmentationModel) -> bool:
    ours, theirs = seg_weights(first), seg_weights(second)
    return list(ours) == list(theirs) and all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("tie", [False, True])
def test_a_folder_of_ours_comes_back(tie: bool, tmp_path: Path) -> None:
    model = random_seg(language={**LANGUAGE, "tie_word_embeddings": True}) if tie else random_seg()
    save_seg(model, tmp_path / "seg", card={"data": "none"})
    again = load_seg(tmp_path / "seg")
    assert again.config == model.config
    assert have_same_weights(model, again)
    card = json.loads((tmp_path / "seg/model_card.json").read_text())
    assert card["parameters"] == sum(value.numel() for value in model.parameters())
    assert card["data"] == "none"


def test_a_folder_that_was_read_answers_as_before(tmp_path: Path) -> None:
    save_seg(trained_seg(), tmp_path / "seg")
    publish(trained_seg(), tmp_path / "published")
    picture = speckled(40, 30)
    expected = Segmenter(trained_seg()).segment(picture, "birds")
    for folder in ("seg", "published"):
        found = Segmenter.load(tmp_path / folder).segment(picture, "birds")
        assert found.text == expected.text
        assert all(map(np.array_equal, found.masks, expected.masks))


def test_the_published_layout_is_read(tmp_path: Path) -> None:
    model = random_seg()
    folder = publish(model, tmp_path / "published")
    source = recognise(folder)
    assert source.description.startswith("published folder of MLCD-Seg")
    again = load_seg(folder)
    assert again.config.sam == model.config.sam
    assert again.config.seg_id == model.config.seg_id == VOCAB_SIZE
    assert again.config.vlm.language["vocab_size"] == VOCAB_SIZE + 1
    assert have_same_weights(model, again)


def test_half_precision_is_kept_when_asked_for(tmp_path: Path) -> None:
    save_seg(random_seg(), tmp_path / "seg", dtype=torch.bfloat16)
    model = load_seg(tmp_path / "seg", dtype=torch.bfloat16)
    assert {value.dtype for value in model.parameters()} == {torch.bfloat16}
    found = Segmenter(model).segment(speckled(40, 30), "cat", force=True)
    assert found.masks[0].shape == (30, 40)


def test_wrong_keys_are_named(tmp_path: Path) -> None:
    folder = publish(random_seg(), tmp_path / "published")
    change_weights(
        folder,
        {
            "model.sam.mask_decoder.iou_token.weight": torch.zeros(1, 32),
            "model.sam.image_encoder.neck.0.weight": None,
            "model.text2sam_projection.2.bias": torch.zeros(7),
            "model.sam.extra": torch.zeros(1),
            "model.other": torch.zeros(1),
        },
    )
    with pytest.raises(
        ValueError,
        match=r"1 missing key: model\.sam\.image_encoder\.neck\.0\.weight; 2 unexpected keys: "
        r"model\.other, model\.sam\.extra; 1 misshapen key: model\.text2sam_projection\.2\.bias 7 "
        r"instead of 32; see `mlcd seg check",
    ):
        load_seg(folder)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = publish(random_seg(), tmp_path / "published")
    save_seg(random_seg(), tmp_path / "seg")
    for path in (folder, tmp_path / "seg"):
        for file in path.glob("tokenizer*"):
            file.unlink()
        with pytest.raises(ValueError, match="no tokenizer"):
            load_seg(path)


def test_a_tokenizer_that_splits_seg_is_refused(tmp_path: Path) -> None:
    folder = publish(random_seg(), tmp_path / "published")
    save_seg(random_seg(), tmp_path / "seg")
    for path in (folder, tmp_path / "seg"):
        for file in path.glob("*token*.json"):
            file.unlink()
        save_tokenizer(byte_tokenizer(), path, max_length=100)
        with pytest.raises(ValueError, match=rf"{path.name}: the tokenizer splits \[SEG\] into 5"):
            load_seg(path)


def test_a_tokenizer_with_another_id_is_refused(tmp_path: Path) -> None:
    save_seg(random_seg(), tmp_path / "seg")
    other = byte_tokenizer(("[SEG]", "<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    save_tokenizer(other, tmp_path / "seg", max_length=100)
    with pytest.raises(ValueError, match=r"has \[SEG\] as id 256, the model was trained with 259"):
        load_seg(tmp_path / "seg")


@pytest.mark.parametrize("is_original", [True, False])
def test_training_starts_from_a_language_model_and_a_sam(is_original: bool, tmp_path: Path) -> None:
    vlm, sam = random_vlm(language={**LANGUAGE, "vocab_size": 300}), random_sam()
    save_vlm(vlm, tmp_path / "vlm", tokenizer=byte_tokenizer())
    path = tmp_path / ("sam.pth" if is_original else "sam")
    (export_original if is_original else save_sam)(sam, path)
    model = start_seg(tmp_path / "vlm", path, answer="Here: [SEG]")
    assert model.config.seg_id == VOCAB_SIZE
    assert model.config.answer == "Here: [SEG]"
    rows = model.vlm.language.get_input_embeddings().weight
    assert rows.shape == (VOCAB_SIZE + 1, 64)  # the rows without a word are gone, as published
    old = vlm.language.get_input_embeddings().weight
    assert torch.equal(rows[:VOCAB_SIZE], old[:VOCAB_SIZE])
    assert model.vlm.language.lm_head.weight.shape == rows.shape
    for key, value in sam_weights(model.sam).items():
        assert torch.equal(value, sam_weights(sam)[key])
    assert not any(value.is_meta for value in model.parameters())
    save_seg(model, tmp_path / "seg")
    assert have_same_weights(load_seg(tmp_path / "seg"), model)


def test_the_joint_depends_on_the_seed_alone(tmp_path: Path) -> None:
    save_vlm(random_vlm(language=LANGUAGE), tmp_path / "vlm", tokenizer=byte_tokenizer())
    save_sam(random_sam(), tmp_path / "sam")
    first, again, other = (start_seg(tmp_path / "vlm", tmp_path / "sam", seed=n) for n in (1, 1, 2))
    assert have_same_weights(first, again)
    assert not torch.equal(first.text_to_prompt[0].weight, other.text_to_prompt[0].weight)


def test_a_language_model_without_words_cannot_start(tmp_path: Path) -> None:
    save_vlm(random_vlm(language=LANGUAGE), tmp_path / "vlm")
    save_sam(random_sam(), tmp_path / "sam")
    with pytest.raises(ValueError, match=r"no tokenizer, to which \[SEG\] could be added"):
        start_seg(tmp_path / "vlm", tmp_path / "sam")
