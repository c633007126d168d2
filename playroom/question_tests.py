"""Test questions about the embedded world, every kind and every answer equally often.

testA asks about new scenes in the style of training. testB asks about scenes in the other style,
which language training never showed: one row with things that the towers were trained on in both
styles, one with things that no tower was trained on. Wordings and combinations are new in both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, NamedTuple

import numpy as np

from mlcd.core.images import Image
from mlcd.playroom.conversations import SIZE, TRAINING_STYLE, draw_sight
from mlcd.playroom.named_scenes import NamedScenes, Wish
from mlcd.playroom.names import all_names, name_of
from mlcd.playroom.question_targets import target_of
from mlcd.playroom.questions import KINDS, Kind, Question, questions_of_kind
from mlcd.playroom.questions.claims import CLAIMS, Claim, Words, judge, possible_claims
from mlcd.playroom.relations import Sight
from mlcd.playroom.things import STYLES
from mlcd.playroom.wordings import belongs_to, put_into_words

TestName = Literal["testA", "testB"]

_TRIES = 400


class Asked(NamedTuple):
    """One test question with its picture, RGB uint8 (H, W, 3)."""

    id: str
    row: str
    image: Image
    question: Question
    text: str
    pair: str | None
    """Of a yes/no question: what it shares with the same words about another picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TestRow:
    """One row of a test: what its scenes are made of."""

    test: TestName
    row: str
    stream: int
    scenes: NamedScenes


@cache
def test_rows() -> tuple[TestRow, ...]:
    """The rows of both tests."""
    (other_style,) = (style for style in STYLES if style != TRAINING_STYLE)
    every = all_names()
    seen = tuple(name for name in every if not name.thing.is_test)
    unseen = tuple(name for name in every if name.thing.is_test)
    new_scenes = NamedScenes(style=TRAINING_STYLE, names=every)
    return (
        TestRow(test="testA", row="new scenes", stream=2, scenes=new_scenes),
        TestRow(
            test="testB",
            row="new style, things the tower knows",
            stream=3,
            scenes=NamedScenes(style=other_style, names=seen),
        ),
        TestRow(
            test="testB",
            row="new style, things new to the tower",
            stream=4,
            scenes=NamedScenes(style=other_style, names=unseen),
        ),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One question, or the two of a pair, that a row has to ask."""

    row: int
    kind: Kind
    number: int
    """Which of its kind."""


def tasks(per_kind: int) -> list[Task]:
    """What the tests consist of: `per_kind` questions of each kind in each row."""
    if per_kind < 2 or per_kind % 2:
        raise ValueError(
            f"expected an even number of questions of a kind, since yes and no come in pairs; "
            f"got {per_kind}"
        )
    return [
        Task(row=row, kind=kind, number=number)
        for row in range(len(test_rows()))
        for kind in KINDS
        for number in range(per_kind // 2 if kind == "yes_no" else per_kind)
    ]


def ask(task: Task, *, seed: int, size: int = SIZE) -> list[Asked]:
    """The question of a task, two for a pair; a pure function of the task, seed and size."""
    row = test_rows()[task.row]
    random = np.random.default_rng((seed, row.stream, KINDS.index(task.kind), task.number))
    found = (
        _claim_pair(row.scenes, task.number, random, size)
        if task.kind == "yes_no"
        else [_one(row.scenes, task, random, size)]
    )
    words = int(random.integers(2**31))
    name = f"{row.test}-{row.stream}-{task.kind}-{task.number:05d}"
    return [
        Asked(
            id=name if len(found) == 1 else f"{name}-{question.answer}",
            row=row.row,
            image=sight.image,
            question=question,
            # Both questions of a pair are asked in the same words.
            text=put_into_words(question, "test", np.random.default_rng(words)),
            pair=name if len(found) > 1 else None,
        )
        for sight, question in found
    ]


def _one(
    scenes: NamedScenes, task: Task, random: np.random.Generator, size: int
) -> tuple[Sight, Question]:
    for _ in range(_TRIES):
        target = target_of(task.kind, task.number, scenes.names, random)
        sight = target.draw(scenes, random, size)
        fitting = [
            question
            for question in questions_of_kind(
                task.kind, sight, target.in_vain or scenes.names, random
            )
            if target.is_met_by(question)
        ]
        if fitting:
            return sight, fitting[int(random.integers(len(fitting)))]
    raise ValueError(f"no picture of {_TRIES} answers question {task.number} of {task.kind}")


def _claim_pair(
    scenes: NamedScenes, number: int, random: np.random.Generator, size: int
) -> list[tuple[Sight, Question]]:
    """The same claim about two pictures: true of the first and false of the second."""
    claim = CLAIMS[number % len(CLAIMS)]
    if claim in ("present colour", "colour"):
        scenes = replace(scenes, natural_share=0.0)
    for _ in range(_TRIES):
        first = draw_sight(scenes, random, size)
        for words in _shuffled(possible_claims(first, claim, scenes.names, random), random):
            true = judge(first, claim, words)
            if true is None or true.answer != "yes" or not belongs_to(true.combination, "test"):
                continue
            for second in _others(scenes, claim, words, random, size):
                false = judge(second, claim, words)
                if false is not None and false.answer == "no":
                    return [(first, true), (second, false)]
    raise ValueError(f"no two pictures of {_TRIES} disagree about the claim {claim!r}")


def _others(
    scenes: NamedScenes, claim: Claim, words: Words, random: np.random.Generator, size: int
) -> Iterator[Sight]:
    """Some scenes in which the claim can be judged."""
    named = {"present": (), "present colour": (), "side": words[::2]}.get(claim, words[:1])
    wishes = [Wish(name=name_of(text)) for text in named]
    for _ in range(30):
        yield draw_sight(scenes, random, size, wishes)


def _shuffled(claims: Sequence[Words], random: np.random.Generator) -> list[Words]:
    return [claims[int(index)] for index in random.permutation(len(claims))]
