"""Accuracy of each kind and row, resumed after a kill, and recomputed from the samples alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.apps.embodied.test_picture_questions import item, written

from mlcd.apps.embodied.picture_questions import PictureQuestion
from mlcd.apps.embodied.playroom_questions import evaluate_questions, summarize
from mlcd.cli.results import summarize_of
from mlcd.core.results import Result


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two names and a pair in each of two rows; one name of a small thing."""
    items = []
    for row, first in (("old", 0), ("new", 10)):
        items += [
            item(first, image="0.jpg", row=row, size=0.1),
            item(first + 1, image="1.jpg", row=row, size=0.4, answer="cat", accepted=["kitten"]),
            item(first + 2, image="2.jpg", row=row, kind="yes_no", answer="yes", pair=f"p{row}"),
            item(first + 3, image="3.jpg", row=row, kind="yes_no", answer="no", pair=f"p{row}"),
        ]
    file = written(tmp_path, items)
    for number in range(5):
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(tmp_path / f"{number}.jpg")
    return file


def measure(file: Path, answers: dict[str, str], folder: str = "result", **options: int) -> Result:
    def answer(questions: Sequence[PictureQuestion]) -> list[str]:
        return [answers.get(question.id, question.answer) for question in questions]

    return evaluate_questions(
        file, answer, file.parent / folder, model="toy", weights_sha256="00", **options
    )


def test_kinds_rows_pairs_and_sizes_are_counted(file: Path) -> None:
    result = measure(file, {"q1": "A kitten!", "q10": "whale", "q13": "yes"})
    metrics = result.metrics
    assert metrics["name"] == 3 / 4
    assert metrics["yes_no"] == 1 / 2
    assert metrics["yes_no single"] == 3 / 4
    assert metrics["mean"] == (3 / 4 + 1 / 2) / 2
    assert metrics["old: mean"] == 1
    assert metrics["new: mean"] == (1 / 2 + 0) / 2
    assert (metrics["small things"], metrics["large things"]) == (1 / 2, 1)
    assert result.intervals["mean"].low <= metrics["mean"] <= result.intervals["mean"].high
    assert "dog → whale" in str(result.tables[0].rows)


def test_who_always_says_yes_gets_nothing_for_pairs(file: Path) -> None:
    metrics = measure(file, {f"q{number}": "yes" for number in range(20)}).metrics
    assert metrics["yes_no"] == 0
    assert metrics["yes_no single"] == 1 / 2
    assert metrics["mean"] == 0


def test_a_killed_run_goes_on_and_asks_nothing_twice(file: Path) -> None:
    asked: list[str] = []

    def dies(questions: Sequence[PictureQuestion]) -> list[str]:
        if len(asked) >= 4:
            raise KeyboardInterrupt
        asked.extend(question.id for question in questions)
        return [question.answer for question in questions]

    options = {"model": "toy", "weights_sha256": "00", "batch_size": 2}
    with pytest.raises(KeyboardInterrupt):
        evaluate_questions(file, dies, file.parent / "result", **options)  # type: ignore[arg-type]
    first = list(asked)

    def lives(questions: Sequence[PictureQuestion]) -> list[str]:
        asked.extend(question.id for question in questions)
        return [question.answer for question in questions]

    result = evaluate_questions(file, lives, file.parent / "result", **options)  # type: ignore[arg-type]
    assert len(asked) == len(set(asked)) == 8
    assert first == asked[:4]
    assert result.metrics["mean"] == 1


def test_the_samples_alone_give_the_same_metrics(file: Path) -> None:
    result = measure(file, {"q0": "whale"})
    assert summarize(result.samples()) == dict(result.metrics)
    assert summarize_of("picture-questions")(result.samples()) == dict(result.metrics)


def test_fewer_answers_than_questions_are_refused(file: Path) -> None:
    with pytest.raises(ValueError, match="expected 8 answers, got 1"):
        evaluate_questions(
            file, lambda _: ["dog"], file.parent / "r", model="toy", weights_sha256="00"
        )


def test_another_batch_size_is_another_measurement(file: Path) -> None:
    measure(file, {}, batch_size=2)
    with pytest.raises(ValueError, match="batch_size is 2 there and 4 now"):
        measure(file, {}, batch_size=4)
