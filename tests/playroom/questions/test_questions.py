"""Every question has exactly one right answer in its scene: checked thing by thing, by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.playroom.hand_made import sight_of, thing

from mlcd.playroom.conversations import draw_sight
from mlcd.playroom.named_scenes import NamedScenes
from mlcd.playroom.names import all_names, all_uses, categories
from mlcd.playroom.questions import KINDS, Kind, Question, questions_of_kind
from mlcd.playroom.questions.claims import judge
from mlcd.playroom.questions.question import Reference
from mlcd.playroom.relations import SeenThing, Sight
from mlcd.playroom.tints import NAMED_COLOURS

SCENES = NamedScenes(style="noto", names=all_names())


def asked(sight: Sight, kind: Kind, seed: int = 0) -> list[Question]:
    return questions_of_kind(kind, sight, all_names(), np.random.default_rng(seed))


@pytest.fixture(scope="module")
def sights() -> list[Sight]:
    random = np.random.default_rng(2)
    return [draw_sight(SCENES, random, 96) for _ in range(40)]


def meant_by(reference: Reference, sight: Sight) -> list[SeenThing]:
    """Every thing that the words of a reference fit, found without its own rules."""
    words = reference.words
    if "extreme" in words:
        areas = [one.area for one in sight.things]
        extreme = max(areas) if words["extreme"] == "biggest" else min(areas)
        return [one for one in sight.things if one.area == extreme]
    fits: dict[str, Callable[[SeenThing], str | None]] = {
        "name": lambda one: one.named.name.text,
        "colour": lambda one: one.named.colour,
        "place": lambda one: one.place,
    }
    return [one for one in sight.things if all(fits[key](one) == words[key] for key in words)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_asked_and_whoever_is_pointed_at_is_alone(
    kind: Kind, sights: list[Sight]
) -> None:
    questions = [(sight, question) for sight in sights for question in asked(sight, kind)]
    assert len(questions) >= 20
    for sight, question in questions:
        assert question.kind == kind
        for reference in filter(None, (question.thing, question.other)):
            assert meant_by(reference, sight) == [reference.thing]


def test_the_same_question_has_one_answer(sights: list[Sight]) -> None:
    for sight in sights:
        for kind in KINDS:
            answers: dict[object, set[str]] = {}
            for question in asked(sight, kind):
                words = [
                    tuple(part.words.items()) for part in (question.thing, question.other) if part
                ]
                key = (question.form, tuple(question.words.items()), tuple(words))
                answers.setdefault(key, set()).add(question.answer)
            assert all(len(found) == 1 for found in answers.values())


def test_no_answer_is_accepted_that_is_the_answer_to_another_thing(sights: list[Sight]) -> None:
    for sight in sights:
        for kind in ("name", "place", "state", "colour", "relation", "count"):
            for question in asked(sight, kind):
                others = {q.answer for q in asked(sight, kind)} - {question.answer}
                assert not others & set(question.accepted)


def test_what_is_too_small_to_recognise_is_asked_for_neither_by_name_nor_for_its_name() -> None:
    sight = sight_of(thing("key", "red", 0.15, 0.15, 0.05), thing("house", "blue", 0.6, 0.6, 0.4))
    for kind in ("name", "category", "state", "use"):
        assert all(
            q.answer != "key" and (not q.thing or q.thing.thing.index) for q in asked(sight, kind)
        )
    places = [q for q in asked(sight, "place") if q.answer == "top left"]
    assert {q.thing.form for q in places if q.thing} == {"colour", "extreme"}
    presence = [q for q in asked(sight, "yes_no") if q.sort == "present"]
    assert presence == []


def test_counts_are_what_a_loop_counts(sights: list[Sight]) -> None:
    plurals = {name.plural: name.text for name in all_names()}
    kinds = {plural: kind for kind, plural in categories().items()}
    for sight in sights:
        for question in asked(sight, "count"):
            counted, number = question.words["counted"], 0
            for one in sight.things:
                colour = counted.removesuffix(" things")
                number += (
                    counted == "things"
                    or one.named.name.text == plurals.get(counted)
                    or one.named.name.category == kinds.get(counted)
                    or (colour in NAMED_COLOURS and one.named.colour == colour)
                )
            assert question.answer == str(number)


def test_a_purpose_is_asked_for_only_where_one_thing_serves_it() -> None:
    knife, apple = thing("knife", "red", 0.2, 0.2), thing("apple", "blue", 0.8, 0.8)
    purposes = {q.words["purpose"]: q.answer for q in asked(sight_of(knife, apple), "use")}
    assert purposes["cut something"] == "knife"
    assert purposes["make juice"] == "apple"
    two = sight_of(knife, apple, thing("saw", "green", 0.8, 0.2))
    assert "cut something" not in {q.words["purpose"] for q in asked(two, "use")}
    unclear = sight_of(knife, apple, thing("tomato", "green", 0.8, 0.2))
    assert "make juice" not in {q.words["purpose"] for q in asked(unclear, "use")}


def test_every_purpose_is_asked_for(sights: list[Sight]) -> None:
    random = np.random.default_rng(3)
    seen = [*sights, *(draw_sight(SCENES, random, 64) for _ in range(220))]
    purposes = {q.words["purpose"] for sight in seen for q in asked(sight, "use")}
    assert purposes == {use.purpose for use in all_uses()}


@pytest.mark.parametrize(
    ("claim", "words", "answer"),
    [
        ("present", ("apple",), "yes"),
        ("present", ("pizza",), "no"),
        ("present", ("hut",), None),  # there is a house, which somebody could call so
        ("present colour", ("red",), "yes"),
        ("present colour", ("pink",), "no"),
        ("colour", ("apple", "red"), "yes"),
        ("colour", ("apple", "blue"), "no"),
        ("colour", ("pizza", "blue"), None),
        ("state", ("house", "upside down"), "yes"),
        ("state", ("house", "upright"), "no"),
        ("state", ("key", "upright"), None),
        ("side", ("apple", "left", "house"), "yes"),
        ("side", ("apple", "right", "house"), "no"),
        ("side", ("apple", "above", "house"), None),
    ],
)
def test_claims_are_judged(claim: str, words: tuple[str, ...], answer: str | None) -> None:
    sight = sight_of(
        thing("apple", "red", 0.2, 0.5),
        thing("house", "blue", 0.8, 0.5, 0.3, state="upside down"),
        thing("key", "green", 0.5, 0.1),
    )
    question = judge(sight, claim, words)  # type: ignore[arg-type]
    assert (question and question.answer) == answer


def test_of_things_in_their_own_colours_no_colour_is_asked() -> None:
    sight = sight_of(thing("apple", None, 0.2, 0.2), thing("house", None, 0.7, 0.7, 0.3))
    assert asked(sight, "colour") == []
    for kind in KINDS:
        for question in asked(sight, kind):
            said = " ".join([question.answer, *question.words.values()])
            assert not set(said.split()) & set(NAMED_COLOURS)
