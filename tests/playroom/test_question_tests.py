"""The tests ask every kind equally often, in new words, and no one answers them blind."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from mlcd.playroom.named_scenes import STATES
from mlcd.playroom.names import all_names
from mlcd.playroom.question_targets import target_of
from mlcd.playroom.question_tests import Asked, Task, ask, tasks, test_rows
from mlcd.playroom.questions import KINDS
from mlcd.playroom.relations import PLACES
from mlcd.playroom.tints import NAMED_COLOURS
from mlcd.playroom.wordings import belongs_to

SIZE = 64
ROWS = test_rows()
test_rows.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def first_row() -> list[Asked]:
    wanted = [task for task in tasks(8) if task.row == 0]
    return [asked for task in wanted for asked in ask(task, seed=0, size=SIZE)]


def test_every_kind_is_a_ninth_of_every_row(first_row: list[Asked]) -> None:
    assert Counter(asked.question.kind for asked in first_row) == dict.fromkeys(KINDS, 8)
    wanted = Counter((task.row, task.kind) for task in tasks(100))
    for (_, kind), number in wanted.items():
        assert number == (50 if kind == "yes_no" else 100)  # pairs


def test_yes_and_no_come_as_pairs_in_the_same_words(first_row: list[Asked]) -> None:
    pairs: dict[str, list[Asked]] = {}
    for asked in first_row:
        assert (asked.pair is None) == (asked.question.kind != "yes_no")
        if asked.pair is not None:
            pairs.setdefault(asked.pair, []).append(asked)
    assert len(pairs) == 4
    for yes, no in pairs.values():
        assert (yes.question.answer, no.question.answer) == ("yes", "no")
        assert yes.text == no.text
        assert yes.image.shape != no.image.shape or (yes.image != no.image).any()


def test_all_that_is_asked_is_kept_for_tests(first_row: list[Asked]) -> None:
    assert all(belongs_to(asked.question.combination, "test") for asked in first_row)
    assert len({asked.id for asked in first_row}) == len(first_row)


def test_a_question_follows_from_its_task_and_the_seed() -> None:
    task = Task(row=1, kind="name", number=3)
    (first,), (again,), (other,) = (ask(task, seed=seed, size=SIZE) for seed in (0, 0, 1))
    assert first.text == again.text
    assert (first.image == again.image).all()
    assert first.image.shape != other.image.shape or (first.image != other.image).any()


@pytest.mark.parametrize(
    ("kind", "answers"),
    [("colour", NAMED_COLOURS), ("state", STATES), ("place", PLACES)],
)
def test_the_answers_of_a_kind_come_up_in_turn(kind: str, answers: object) -> None:
    random = np.random.default_rng(0)
    found = [
        target_of(kind, number, all_names(), random).answer  # type: ignore[arg-type]
        for number in range(3 * 72)
    ]
    counts = Counter(found)
    assert set(counts) == set(answers)  # type: ignore[call-overload]
    assert len(set(counts.values())) == 1


def test_the_rows_of_the_style_test_are_drawn_in_the_style_that_training_never_shows() -> None:
    new_scenes, known, new = ROWS
    assert new_scenes.scenes.style != known.scenes.style == new.scenes.style
    assert not any(name.thing.is_test for name in known.scenes.names)
    assert all(name.thing.is_test for name in new.scenes.names)
    assert len(known.scenes.names) + len(new.scenes.names) == len(all_names())


def test_an_odd_number_of_a_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="come in pairs; got 3"):
        tasks(3)
