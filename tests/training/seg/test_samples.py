"""Conversations with masks: [SEG] is one word where gpt says it, with a mask for each."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from tests.apps.seg.toy_seg import random_seg
from tests.training.seg_toys import write_phrases

from mlcd.apps.seg.model import SegmentationModel
from mlcd.core.datasets.phrase_list import read_phrase_list
from mlcd.core.language.merging import num_image_tokens
from mlcd.core.rle import encode_mask
from mlcd.training.data.conversations import ConversationError, read_item
from mlcd.training.data.joined_sources import JoinedSources
from mlcd.training.data.samples import SampleMaker
from mlcd.training.seg.phrase_conversations import PhraseConversations, SegWords
from mlcd.training.seg.samples import SegSampleMaker


@pytest.fixture(scope="module")
def model() -> SegmentationModel:
    return random_seg()


def maker(model: SegmentationModel, **changes: Any) -> SegSampleMaker:
    assert model.vlm.tokenizer is not None
    config = replace(model.config.vlm, **changes)
    return SegSampleMaker(
        words=SampleMaker(config=config, tokenizer=model.vlm.tokenizer),
        sam=model.config.sam,
        seg_id=model.config.seg_id,
    )


def item(folder: Path, answers: list[str], masks: list[Any] | None) -> Any:
    PIL.Image.new("RGB", (30, 20)).save(folder / "a.png")
    turns = []
    for number, answer in enumerate(answers):
        asked = "<image>\nWhere is [SEG]?" if number == 0 else "And [SEG]?"
        turns += [{"from": "human", "value": asked}, {"from": "gpt", "value": answer}]
    values: dict[str, Any] = {"image": "a.png", "conversations": turns}
    if masks is not None:
        values["segmentation"] = masks
    return read_item(values, name="it", images=folder)


def runs(value: int) -> dict[str, Any]:
    mask = np.zeros((20, 30), np.bool_)
    mask[:value] = True
    return encode_mask(mask)


def test_each_seg_of_gpt_is_one_word_with_its_mask(
    model: SegmentationModel, tmp_path: Path
) -> None:
    found = maker(model)(item(tmp_path, ["[SEG], [SEG].", "[SEG]"], [runs(1), runs(2), runs(3)]))
    ids, labels, _ = found.sample.conversation
    assert labels is not None
    assert int((ids == model.config.seg_id).sum()) == 3  # what the user wrote are letters
    assert int((labels == model.config.seg_id).sum()) == 3
    assert [int(mask.sum()) for mask in found.masks] == [30, 60, 90]
    assert found.sample.pixels is not None
    assert len(found.sample.pixels) == 1


def test_polygons_are_masks_too(model: SegmentationModel, tmp_path: Path) -> None:
    found = maker(model)(item(tmp_path, ["[SEG]"], [[[0, 0, 10, 0, 10, 10, 0, 10]]]))
    assert int(found.masks[0].sum()) == 100


def test_a_conversation_without_masks_passes_through(
    model: SegmentationModel, tmp_path: Path
) -> None:
    make = maker(model)
    conversation = item(tmp_path, ["No."], None)
    found = make(conversation)
    expected = make.words(conversation)
    assert torch.equal(found.sample.conversation.ids, expected.ids)
    assert found.masks == []
    assert found.sample.pixels is None


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        (None, "says .SEG. 2 times, and there are 0 masks"),
        ([runs(1)], "says .SEG. 2 times, and there are 1 masks"),
        ([runs(1), {"size": [9, 9], "counts": [81]}], "mask 2: .*9 x 9"),
        ([runs(1), [[1, 2, 3, 4]]], "mask 2: .*encloses nothing"),
        ([runs(1), {"size": [20, 30], "counts": [3]}], "mask 2: .*damaged"),
    ],
)
def test_masks_that_do_not_fit_name_the_conversation(
    model: SegmentationModel, tmp_path: Path, masks: Any, said: str
) -> None:
    with pytest.raises(ConversationError, match=f"it.*{said}"):
        maker(model)(item(tmp_path, ["[SEG] [SEG]"], masks))


def test_strange_segmentation_is_refused_when_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConversationError, match="segmentation is 'x'"):
        item(tmp_path, ["[SEG]"], "x")  # type: ignore[arg-type]


def test_a_sample_that_is_cut_keeps_the_masks_of_what_is_left(
    model: SegmentationModel, tmp_path: Path
) -> None:
    conversation = item(tmp_path, ["[SEG]", "[SEG]"], [runs(1), runs(2)])
    ids = maker(model)(conversation).sample.conversation.ids.tolist()
    between = ids.index(model.config.seg_id) + 3
    tokens = num_image_tokens((30, 20), model.config.vlm) - 1  # beside the place of the picture
    cut = maker(model, max_length=between + tokens)(conversation)
    assert len(cut.sample.conversation.ids) == between
    assert [int(mask.sum()) for mask in cut.masks] == [30]


def test_a_batch_is_the_same_after_it_came_from_a_worker(
    model: SegmentationModel, tmp_path: Path
) -> None:
    make = maker(model)
    examples = [
        make(item(tmp_path, ["[SEG] [SEG]"], [runs(1), runs(2)])),
        make(item(tmp_path, ["No."], None)),
        make(item(tmp_path, ["[SEG]"], [runs(4)])),
    ]
    batch = make.pack(examples, ("one",))
    again = pickle.loads(pickle.dumps(batch))  # noqa: S301 - our own
    assert again.skipped == ("one",)
    assert again.num_pictures == 3
    for before, after in zip(examples, again.examples, strict=True):
        assert torch.equal(before.sample.conversation.ids, after.sample.conversation.ids)
        assert (before.sample.pixels is None) == (after.sample.pixels is None)
        if before.sample.pixels is not None:
            assert torch.equal(before.sample.pixels, after.sample.pixels)
        assert all(torch.equal(a, b) for a, b in zip(before.masks, after.masks, strict=True))
    parts = batch.parts(2, torch.device("cpu"))
    assert [len(part.inputs) for part in parts] == [1, 2]
    assert set(batch.named_tensors()) >= {"0.ids", "0.masks.1", "2.masks.0"}


def test_phrases_are_turns_about_their_picture(model: SegmentationModel, tmp_path: Path) -> None:
    phrases = read_phrase_list(write_phrases(tmp_path, count=2))
    words = SegWords(question="Where is {phrase}?", answer="At [SEG].", absent="Nowhere.")
    source = PhraseConversations(phrases, words=words, most_turns=2)
    assert len(source) == 4  # three phrases about each of two pictures
    first, second = source.read(0), source.read(1)
    said = [message["content"] for message in (*first.messages, *second.messages)]
    assert said[0][1]["text"] == "\nWhere is the red one?"
    assert said[1] == "At [SEG]."
    assert said[2] == [{"type": "text", "text": "Where is the blue one?"}]
    assert said[5] == "Nowhere."
    assert second.masks == []
    assert [int(np.asarray(mask).sum()) for mask in first.masks] == [225, 225]
    assert len(maker(model)(first).masks) == 2
    joined = JoinedSources([source, PhraseConversations(phrases, most_turns=4)])
    assert len(joined) == 6
    assert joined.read(3).name == source.read(3).name
    assert joined.read(4).messages[0] == PhraseConversations(phrases).read(0).messages[0]
    assert joined.digest() != source.digest()


def test_words_without_a_place_for_the_phrase_are_refused() -> None:
    with pytest.raises(ValueError, match="phrase"):
        SegWords(question="Where?")
    with pytest.raises(ValueError, match="absent"):
        SegWords(absent="[SEG]")
