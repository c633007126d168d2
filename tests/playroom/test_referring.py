"""Each phrase is true of exactly what it means, and one has to read it.

`phrase_reader` reads them back word by word and holds them against the visible masks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from tests.playroom.phrase_reader import Reader

from mlcd.playroom.names import name_of
from mlcd.playroom.pointing import WORDINGS
from mlcd.playroom.referring import (
    PARTS,
    TASKS,
    Part,
    ReferringPicture,
    Task,
    referring_picture,
)
from mlcd.playroom.renderer import render
from mlcd.playroom.tints import NAMED_COLOURS
from mlcd.playroom.wordings import belongs_to, templates

SIZE = 96
PLACE_WORDS = re.compile(
    r"\b(left|right|top|bottom|middle|center|above|below|first|second|third|fourth|front|behind"
    r"|half|closest|farthest)|most\b"
)
COUNT = 40


def pictures(task: Task, part: Part, count: int = COUNT) -> Iterator[ReferringPicture]:
    for index in range(count):
        yield referring_picture(5, index, task=task, part=part, size=SIZE)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("task", TASKS)
def test_each_phrase_is_true_of_exactly_what_it_means(task: Task, part: Part) -> None:
    split = "train" if part in ("train", "val") else "test"
    for picture in pictures(task, part):
        reader = Reader(picture)
        for phrase in picture.phrases:
            assert reader.readings(phrase, task, split) == [set(phrase.targets)], phrase


def test_the_reader_knows_a_picture_from_its_mirror_image() -> None:
    """Or else the test before would prove nothing."""
    wrong = 0
    for picture in pictures("refcoco", "train", 10):
        mirrored = [thing._replace(mask=thing.mask[::-1, ::-1]) for thing in picture.things]
        reader = Reader(replace(picture, things=tuple(mirrored)))
        for phrase in picture.phrases:
            if phrase.form in ("edge", "ordinal", "place"):
                wrong += reader.readings(phrase, "refcoco", "train") != [set(phrase.targets)]
    assert wrong > 10


def test_masks_are_the_visible_pixels_and_share_none() -> None:
    for picture in pictures("refcoco", "train", 10):
        height, width = picture.image.shape[:2]
        assert min(height, width) == SIZE
        drawn = render(picture.scene, width, height)
        assert (drawn.image == picture.image).all()
        for thing, seen in zip(picture.things, drawn.things, strict=True):
            assert thing.mask.any()
            assert (thing.mask == seen.mask).all()
        assert np.sum([thing.mask for thing in picture.things], axis=0).max() == 1


def test_several_things_have_the_same_name_so_that_the_phrase_matters() -> None:
    for picture in pictures("refcoco", "train"):
        assert max(Counter(thing.name for thing in picture.things).values()) >= 2


@pytest.mark.parametrize("part", PARTS)
def test_refcoco_plus_never_says_where_something_is(part: Part) -> None:
    for picture in pictures("refcoco+", part):
        for phrase in picture.phrases:
            assert not PLACE_WORDS.search(phrase.text), phrase


def test_refcocog_speaks_in_longer_sentences() -> None:
    lengths = {
        task: np.mean(
            [len(p.text.split()) for picture in pictures(task, "train") for p in picture.phrases]
        )
        for task in TASKS
    }
    assert lengths["refcocog"] > 2 * lengths["refcoco+"]
    assert lengths["refcocog"] > 1.7 * lengths["refcoco"]


def test_only_grefcoco_means_several_things_or_none_and_each_often() -> None:
    for task in TASKS[:3]:
        for picture in pictures(task, "train", 20):
            assert {len(phrase.targets) for phrase in picture.phrases} == {1}
    counts = Counter(
        min(len(phrase.targets), 2)
        for picture in pictures("grefcoco", "train")
        for phrase in picture.phrases
    )
    assert min(counts[0], counts[1], counts[2]) > 0.15 * counts.total()


def test_what_is_not_there_cannot_be_told_by_its_colours_or_relations() -> None:
    """Of phrases with a colour, with a relation and with neither some are true and some are not."""
    counts: Counter[tuple[str, bool]] = Counter()
    for picture in pictures("grefcoco", "train", 120):
        for phrase in picture.phrases:
            form = WORDINGS.get(phrase.form, phrase.form)
            if form in ("name", "attributes", "beside"):
                is_coloured = any(f"{colour} " in phrase.text for colour in NAMED_COLOURS)
                sort = form if form == "beside" else "colour" if is_coloured else "no colour"
                counts[sort, bool(phrase.targets)] += 1
    for sort in ("colour", "no colour", "beside"):
        share = counts[sort, False] / (counts[sort, False] + counts[sort, True])
        assert 0.2 < share < 0.65, sort


def test_most_phrases_without_a_target_speak_of_things_that_are_there() -> None:
    forms = Counter(
        phrase.form
        for picture in pictures("grefcoco", "train")
        for phrase in picture.phrases
        if not phrase.targets
    )
    assert set(forms) == {f"absent {sort}" for sort in ("name", "colour", "state", "relation")}
    assert forms["absent name"] < 0.4 * forms.total()


def test_training_shows_one_style_and_testb_the_other() -> None:
    styles = {
        part: {thing.style for p in pictures("refcoco", part, 6) for thing in p.scene.things}
        for part in PARTS
    }
    assert styles == {"train": {"noto"}, "val": {"noto"}, "testA": {"noto"}, "testB": {"fluent"}}
    rows = [p.row for p in pictures("refcoco", "testB", 4)]
    assert len(set(rows)) == 2
    for row, picture in zip(rows, pictures("refcoco", "testB", 4), strict=True):
        is_new = {name_of(thing.name).thing.is_test for thing in picture.things}
        assert is_new == {row.endswith("new to the tower")}


def test_no_wording_of_the_tests_is_one_of_training_nor_has_a_new_word() -> None:
    train = [t for splits in templates("phrases").values() for t in splits["train"]]
    words = {word for t in train for word in re.findall(r"[a-z]+", re.sub(r"\{\w+\}", " ", t))}
    for splits in templates("phrases").values():
        for template in splits["test"]:
            assert template not in train
            assert set(re.findall(r"[a-z]+", re.sub(r"\{\w+\}", " ", template))) <= words


def test_training_leaves_out_what_is_kept_for_tests() -> None:
    for part, split in (("train", "train"), ("testA", "test")):
        for picture in pictures("refcoco+", part, 20):  # type: ignore[arg-type]
            for phrase in picture.phrases:
                if phrase.form != "name":
                    continue
                (target,) = phrase.targets
                thing = picture.things[target]
                if f" {thing.name} " in f" {phrase.text} ":
                    combination = (thing.name, "own colours", thing.name)
                    assert belongs_to(combination, split)  # type: ignore[arg-type]


def test_a_picture_follows_from_seed_part_and_number_and_is_the_same_for_all_tasks() -> None:
    first = referring_picture(1, 7, task="refcoco", part="train", size=SIZE)
    again = referring_picture(1, 7, task="refcoco", part="train", size=SIZE)
    assert (first.image == again.image).all()
    assert first.phrases == again.phrases
    other = referring_picture(1, 7, task="refcocog", part="train", size=SIZE)
    assert other.scene == first.scene
    assert other.phrases != first.phrases
    assert referring_picture(1, 7, task="refcoco", part="val", size=SIZE).scene != first.scene
    assert referring_picture(2, 7, task="refcoco", part="train", size=SIZE).scene != first.scene


def test_no_phrase_comes_twice_and_none_too_many() -> None:
    for picture in pictures("refcoco+", "train", 10):
        texts = [phrase.text for phrase in picture.phrases]
        assert 1 <= len(texts) == len(set(texts)) <= 4
    assert len(referring_picture(0, 0, task="refcoco", part="train", most_phrases=9).phrases) == 9


def test_unknown_tasks_and_parts_are_named() -> None:
    with pytest.raises(ValueError, match=r"'refcoco-' is no task: expected one of refcoco, "):
        referring_picture(0, 0, task="refcoco-", part="train")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'test' is no part: expected one of train, "):
        referring_picture(0, 0, task="refcoco", part="test")  # type: ignore[arg-type]
