"""A phrase gives a mask in the picture's own size, or the word that it is not there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.apps.seg.toy_seg import ABSENT, THERE, question_ids, random_seg, trained_seg
from tests.core.language.toy_models import speckled
from torch import nn

from mlcd.apps.seg import Segmentation, Segmenter
from mlcd.apps.seg.sam_pixels import logits_in_picture, sam_pixels
from mlcd.apps.seg.seg_word import encode_answer
from mlcd.core.language.config import IGNORE
from mlcd.core.language.tiles import cut_images
from mlcd.core.language.vlm import Sample

PICTURE = speckled(40, 30)


@pytest.fixture
def segmenter() -> Segmenter:
    return Segmenter(trained_seg())


def same(first: Segmentation, second: Segmentation) -> bool:
    return (
        (first.is_present, first.text, first.score)
        == (second.is_present, second.text, second.score)
        and len(first.masks) == len(second.masks)
        and all(map(np.array_equal, first.masks, second.masks))
        and (first.mask is None) == (second.mask is None)
        and (first.mask is None or np.array_equal(first.mask, second.mask))
    )


def test_what_is_there_has_a_mask_in_the_size_of_the_picture(segmenter: Segmenter) -> None:
    found = segmenter.segment(PICTURE, "cat")
    assert found.is_present
    assert found.text == THERE
    assert found.mask is not None
    assert found.mask.dtype == np.bool_
    assert found.mask.shape == (30, 40)
    assert found.mask.any()
    assert len(found.masks) == 1
    assert np.array_equal(found.masks[0], found.mask)
    assert 0.5 < found.score <= 1


def test_what_is_not_there_has_no_mask(segmenter: Segmenter) -> None:
    found = segmenter.segment(PICTURE, "dog")
    assert not found.is_present
    assert found.mask is None
    assert found.masks == ()
    assert found.score == 0
    assert found.text == ABSENT


def test_several_masks_are_one_together(segmenter: Segmenter) -> None:
    found = segmenter.segment(PICTURE, "birds")
    assert len(found.masks) == 2
    assert found.mask is not None
    assert np.array_equal(found.mask, found.masks[0] | found.masks[1])
    assert not np.array_equal(found.masks[0], found.masks[1])


def test_a_forced_answer_has_a_mask_where_the_model_gave_none(segmenter: Segmenter) -> None:
    forced = segmenter.segment(PICTURE, "dog", force=True)
    assert forced.text == segmenter.model.config.answer
    assert len(forced.masks) == 1
    free = segmenter.segment(PICTURE, "cat")
    assert same(segmenter.segment(PICTURE, "cat", force=True), free)


@pytest.mark.parametrize(("phrase", "answer"), [("cat", THERE), ("dog", "It is [SEG].")])
def test_the_mask_is_the_one_of_a_whole_pass_through_the_model(
    segmenter: Segmenter, phrase: str, answer: str
) -> None:
    """Token by token behind a kept picture, or all at once through Transformers' decoder."""
    model = segmenter.model
    tokenizer = model.vlm.tokenizer
    assert tokenizer is not None
    question = question_ids(model, phrase)
    said = encode_answer(tokenizer, answer, model.config.seg_id)
    labels = torch.tensor([IGNORE] * len(question) + said)
    tiles = cut_images([PICTURE], model.config.vlm)
    with torch.no_grad():
        output = model.vlm([Sample(torch.tensor(question + said), labels, tiles)])
        assert output.labels is not None
        state = output.hidden[output.labels == model.config.seg_id]
        embedding = model.sam.encode(sam_pixels(PICTURE, model.config.sam))
        low = model.decode_masks(state, embedding).logits
        logits = logits_in_picture(low, (30, 40), model.config.sam)[0]
    found = segmenter.segment(PICTURE, phrase, force=True)
    assert found.text == answer
    is_clear = logits.abs() > 1e-3
    assert float(is_clear.float().mean()) > 0.9
    assert np.array_equal(found.masks[0][is_clear], (logits > 0).numpy()[is_clear])
    assert found.score == pytest.approx(float(logits[logits > 0].sigmoid().mean()), abs=1e-4)


def calls_of(module: nn.Module) -> list[int]:
    calls: list[int] = []
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls


def test_many_phrases_look_once_and_answer_as_alone() -> None:
    model = trained_seg()
    segmenter = Segmenter(model)
    phrases = ["birds", "cat", "dog", "cat", "a word that it never saw", "birds"]
    alone = [segmenter.segment(PICTURE, phrase) for phrase in phrases]
    tower, sam = calls_of(model.vlm.tower.embedding), calls_of(model.sam.encoder)
    together = segmenter.segment_many(PICTURE, phrases)
    assert (len(tower), len(sam)) == (1, 1)
    assert all(map(same, alone, together))
    again = segmenter.segment_many(PICTURE, phrases[::-1])
    assert all(map(same, alone, again[::-1]))


def test_a_picture_without_masks_is_not_seen_by_the_sam() -> None:
    model = trained_seg()
    sam = calls_of(model.sam.encoder)
    assert not Segmenter(model).segment(PICTURE, "dog").is_present
    assert not sam
    assert Segmenter(model).segment_many(PICTURE, []) == []


def test_a_mask_without_a_pixel_is_not_present() -> None:
    """The decoder's last product made negative everywhere: never an empty array by accident."""
    model = random_seg()
    with torch.no_grad():
        for name, value in model.sam.model.mask_decoder.named_parameters():
            if name.startswith("output_hypernetworks_mlps.0.proj_out"):
                value.zero_()
    found = Segmenter(model).segment(PICTURE, "cat", force=True)
    assert not found.is_present
    assert found.mask is None
    assert len(found.masks) >= 1
    assert not any(mask.any() for mask in found.masks)
    assert found.score == 0


def test_an_empty_phrase_is_refused(segmenter: Segmenter) -> None:
    for phrase in ("", "  \n\t"):
        with pytest.raises(ValueError, match="an empty phrase"):
            segmenter.segment(PICTURE, phrase)
    with pytest.raises(ValueError, match="expected a list of phrases"):
        segmenter.segment_many(PICTURE, "cat")


def test_a_phrase_of_2000_words_is_answered_or_refused_by_the_length_of_the_model() -> None:
    phrase = " ".join(["cup"] * 2000)
    small = Segmenter(random_seg())
    with pytest.raises(ValueError, match=r"a phrase of 2,000 words is too long.*reads 4,096"):
        small.segment(PICTURE, phrase)
    large = Segmenter(random_seg(max_length=20_000))
    assert large.segment(PICTURE, phrase, force=True).masks[0].shape == (30, 40)


@pytest.mark.parametrize(
    "words",
    ["[SEG]", "<image>", "cat [SEG] on the <image>", "<|im_end|>\n<|im_start|>", "{phrase}"],
)
def test_words_of_the_program_in_a_phrase_are_letters(segmenter: Segmenter, words: str) -> None:
    model, tokenizer = segmenter.model, segmenter.model.vlm.tokenizer
    assert tokenizer is not None
    plain = question_ids(model, "x")
    ids = question_ids(model, words)
    assert ids.count(model.config.seg_id) == 0
    for number in (-200, 256, 257, 258):  # the picture, the special words
        assert ids.count(number) == plain.count(number)
    found = segmenter.segment(PICTURE, words, force=True)
    assert found.masks[0].shape == (30, 40)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (12_000, 50), (50, 12_000), (2, 4000)])
def test_pictures_of_any_shape(segmenter: Segmenter, width: int, height: int) -> None:
    found = segmenter.segment(speckled(width, height), "cat", force=True)
    assert all(mask.shape == (height, width) for mask in found.masks)
    assert found.masks


def test_a_model_without_a_tokenizer_reads_no_phrases() -> None:
    model = random_seg()
    model.vlm.tokenizer = None
    with pytest.raises(ValueError, match="no tokenizer"):
        Segmenter(model)
