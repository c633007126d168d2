"""Conversations follow from seed and number, give no answer away, and begin with single things."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from tests.playroom.hand_made import sight_of, thing

from mlcd.playroom.conversations import (
    Curriculum,
    caption,
    conversation,
    describe,
)
from mlcd.playroom.questions import KINDS

SIZE = 64


def test_the_same_seed_and_number_give_the_same_conversation() -> None:
    first, again = conversation(3, 17, size=SIZE), conversation(3, 17, size=SIZE)
    assert first.turns == again.turns
    assert (first.image == again.image).all()
    assert conversation(4, 17, size=SIZE).turns != first.turns
    assert conversation(3, 18, size=SIZE).turns != first.turns


def test_the_shorter_side_has_the_size_and_pictures_are_square_wide_and_tall() -> None:
    shapes = {conversation(0, index, size=SIZE).image.shape for index in range(30)}
    assert shapes == {(64, 64, 3), (64, 85, 3), (85, 64, 3)}


def test_a_conversation_asks_each_kind_once_and_all_kinds_come_up() -> None:
    counts: Counter[str] = Counter()
    for index in range(80):
        kinds = [turn.kind for turn in conversation(0, index, size=SIZE).turns]
        assert len(kinds) == len(set(kinds)) <= 6
        counts.update(kinds)
    assert set(counts) == set(KINDS)
    assert min(counts.values()) > 0.05 * counts.total()


def test_kinds_can_be_weighted_away() -> None:
    kinds = {
        turn.kind
        for index in range(20)
        for turn in conversation(
            0, index, size=SIZE, weights=dict.fromkeys(KINDS, 0.0) | {"name": 1.0}
        ).turns
    }
    assert kinds == {"name"}


def test_presence_is_not_asked_of_what_was_spoken_of() -> None:
    for index in range(60):
        turns = conversation(1, index, size=SIZE, most_turns=9).turns
        for earlier, later in pairwise(turns):
            if later.kind == "yes_no" and later.sort == "present":
                name = later.question.rstrip("?").split(" in the picture")[0].split()[-1]
                assert name not in earlier.question.rstrip("?.").split()


def test_no_colour_is_asked_of_a_thing_that_was_pointed_at_by_name_and_colour_before() -> None:
    linked = 0
    for index in range(80):
        turns = conversation(2, index, size=SIZE, most_turns=9).turns
        for position, turn in enumerate(turns):
            if turn.kind == "name" and f" {turn.answer}" in "".join(t.question for t in turns):
                linked += 1
                before = [t for t in turns[:position] if t.kind == "colour"]
                assert not any(
                    f"the {turn.answer}" in t.question and t.answer in turn.question for t in before
                )
    assert linked > 4


def test_single_things_come_first_and_then_more_and_more() -> None:
    curriculum = Curriculum(num_single=10, num_growing=70)
    most = [curriculum.scenes(index).most for index in range(100)]
    assert most[:10] == [1] * 10
    assert most[10:80] == sorted(most[10:80])
    assert most[10] == 2
    assert most[79:] == [8] * 21
    assert [curriculum.scenes(i).least for i in (0, 10, 50, 99)] == [1, 2, 3, 3]


def test_of_a_single_thing_everything_but_relations_is_asked() -> None:
    curriculum = Curriculum(num_single=1000)
    kinds = {
        turn.kind
        for index in range(60)
        for turn in conversation(0, index, size=SIZE, curriculum=curriculum).turns
    }
    assert kinds == set(KINDS) - {"relation"}


def test_captions_name_what_can_be_named_row_by_row() -> None:
    sight = sight_of(
        thing("house", None, 0.8, 0.8, 0.25),
        thing("owl", None, 0.15, 0.15, 0.2),
        thing("key", None, 0.5, 0.15, 0.05),
    )
    said = describe(sight).split(", ")
    assert [part.split(" in ")[0] for part in said] == ["an owl", "a house"]


def test_captions_keep_quiet_about_what_is_kept_for_tests() -> None:
    colours = [
        describe(sight_of(thing("apple", c, 0.5, 0.5)))
        for c in ("red", "blue", "green", "yellow", "orange", "pink", "brown", "purple")
    ]
    assert any(text.startswith("an apple") for text in colours)
    assert any(not text.startswith("an apple") for text in colours)


def test_every_caption_has_a_request_and_a_text() -> None:
    for index in range(20):
        made = caption(0, index, size=SIZE)
        assert len(made.turns) == 1
        assert made.turns[0].answer


@pytest.mark.parametrize("index", [0, 5])
def test_captions_and_conversations_are_about_other_pictures(index: int) -> None:
    first, second = caption(0, index, size=SIZE).image, conversation(0, index, size=SIZE).image
    assert first.shape != second.shape or np.abs(first.astype(int) - second).mean() > 1


def test_the_name_of_a_single_thing_is_not_asked_once_it_was_said() -> None:
    curriculum = Curriculum(num_single=1000)
    asked = 0
    for index in range(80):
        turns = conversation(0, index, size=SIZE, curriculum=curriculum, most_turns=9).turns
        for position, turn in enumerate(turns):
            if turn.kind == "name":
                asked += 1
                before = [t for t in turns[:position] if t.kind != "count"]
                said = " ".join(f"{t.question} {t.answer}" for t in before)
                assert turn.answer not in said.replace("?", " ").replace(".", " ").split()
    assert asked > 10


def test_a_share_of_conversations_ends_with_a_caption_and_is_else_as_without() -> None:
    plain = [conversation(0, index, size=SIZE) for index in range(40)]
    ended = [conversation(0, index, size=SIZE, caption_share=0.5) for index in range(40)]
    is_ended = [own.turns[-1].kind == "caption" for own in ended]
    assert 10 < sum(is_ended) < 30
    for before, after, has_caption in zip(plain, ended, is_ended, strict=True):
        assert after.turns[: len(after.turns) - has_caption] == before.turns
