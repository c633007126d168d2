"""What is asked of episodes is seen in them, and has the answer that the episode says."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest

from mlcd.core.datasets.openeqa import CATEGORIES
from mlcd.playroom.episode_questions import EpisodeQuestion, all_questions, ask_about
from mlcd.playroom.episodes import STORIES, Episode, episode
from mlcd.playroom.watching import Watched, Whereabouts, place_of, watch

COUNT = 6


@cache
def watched(number: int) -> Watched:
    made = episode(
        3, number, story=STORIES[number % 2], num_frames=16, frames_per_s=16 / 12, size=(96, 96)
    )
    return watch(made, range(16))


def questions() -> list[tuple[Watched, EpisodeQuestion]]:
    random = np.random.default_rng(0)
    return [
        (watched(number), question)
        for number in range(COUNT)
        for question in all_questions(watched(number), random)
    ]


def number_of(made: Episode, name: str) -> int:
    names = [thing.name.text for thing in made.things]
    return names.index(next(own for own in names if name.endswith(own)))


def test_every_category_occurs_and_no_other() -> None:
    assert {question.category for _, question in questions()} == set(CATEGORIES)


def test_no_question_is_asked_twice_with_another_answer() -> None:
    for number in range(COUNT):
        own = list(all_questions(watched(number), np.random.default_rng(0)))
        assert len({question.text for question in own}) == len(own)


def test_a_question_does_not_say_its_answer() -> None:
    for _, question in questions():
        if question.category in ("object recognition", "functional reasoning", "world knowledge"):
            assert not re.search(rf"\b{question.answer}\b", question.text)


def test_things_that_are_asked_for_at_the_end_are_there_or_gone() -> None:
    answers: list[str] = []
    for seen, question in questions():
        if match := re.fullmatch(r"Can one see the (.*) at the end\?", question.text):
            thing = number_of(seen.episode, match[1])
            assert (seen.last[thing] is not None) == (question.answer == "yes")
            assert seen.is_seen(thing)
            answers.append(question.answer)
    assert answers.count("yes") <= answers.count("no")


def test_places_are_the_last_frames() -> None:
    found = 0
    for seen, question in questions():
        match = re.fullmatch(r"Where is the (.*) at the end\?", question.text)
        if match and not question.answer.startswith("in "):
            box = seen.last[number_of(seen.episode, match[1])]
            assert box is not None
            assert place_of(box) == question.answer
            assert len(question.extra_answers) <= 4
            found += 1
    assert found > 3


def test_left_is_left_in_the_last_frame() -> None:
    found = 0
    for seen, question in questions():
        text = r"Is the (.*) to the left or to the right of the (.*) at the end\?"
        if match := re.fullmatch(text, question.text):
            boxes = [seen.last[number_of(seen.episode, name)] for name in match.groups()]
            assert boxes[0] is not None
            assert boxes[1] is not None
            assert (boxes[0][0] < boxes[1][0]) == (question.answer == "left")
            found += 1
    assert found > 3


def test_questions_are_spread_over_the_categories() -> None:
    asked = ask_about(watched(0), np.random.default_rng(0), most=5)
    assert len(asked) == 5
    assert len({question.category for question in asked}) == 5
    order = [CATEGORIES.index(question.category) for question in asked]
    assert len(set(order)) == 5


@pytest.mark.parametrize("number", range(0, COUNT, 2))
def test_whereabouts_follow_the_frames(number: int) -> None:
    seen = watched(number)
    for frame, stamp_s in enumerate(seen.episode.stamps_s):
        under_way = {
            event.thing for event in seen.episode.events if event.start_s < stamp_s < event.stop_s
        }
        state = Whereabouts.at(seen.episode, stamp_s)
        for thing, box in enumerate(seen.boxes[frame]):
            if thing not in under_way and box is not None:
                assert thing in state.there
            if thing not in under_way and thing not in state.there:
                assert box is None
