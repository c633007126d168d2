"""What a judge is told, and what counts as a mark."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.apps.embodied.toy_judge import Saying
from tests.core.language.toy_speaker import ask, toy_speaker

from mlcd.apps.embodied.judge import (
    MARKS,
    ExpectingJudge,
    JudgeError,
    JudgePrompt,
    WritingJudge,
    cut_unfinished,
    own_prompt,
    parse_mark,
    read_prompt_files,
)
from mlcd.core.language.choices import choice_probabilities


@pytest.mark.parametrize(
    ("said", "mark"),
    [
        ("5", 5),
        (" 3\n", 3),
        ("Your mark: 4", 4),
        ("The answers agree.\nyour mark:2", 2),
        ("0", None),
        ("85", None),
        ("Your mark: 10", None),
        ("4 out of 5", None),
        ("", None),
        ("five", None),
    ],
)
def test_marks(said: str, mark: int | None) -> None:
    assert parse_mark(said) == mark


@pytest.mark.parametrize(
    ("prediction", "cut"),
    [
        ("It is red. It stands on", "It is red."),
        ("red", "red"),
        ("A. B.", "A. B."),
        ("", ""),
        ("about 2.5 m", "about 2."),  # as the official evaluation cuts it
    ],
)
def test_predictions_are_cut_after_their_last_full_stop(prediction: str, cut: str) -> None:
    assert cut_unfinished(prediction) == cut


def test_the_own_prompt_has_the_scale_the_examples_and_the_answer() -> None:
    text = own_prompt().fill("Where?", "here", [], "there {answer}")
    assert text.endswith("Question: Where?\nRight answer: here\nAnswer: there {answer}\nYour mark:")
    for mark in ("Your mark: 1", "Your mark: 3", "Your mark: 5"):
        assert mark in text
    several = own_prompt().fill("Where?", "here", ["at home", "inside"], "there")
    assert "Right answer: here\nOther right answers: at home, inside\nAnswer: there" in several
    assert "{" not in several


def test_the_official_prompts_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "mmbench.txt").write_text("Q {question} A {answer} R {prediction}")
    (tmp_path / "extra.txt").write_text("{question}|{answer}|{extra_answers}|{prediction}")
    prompt = read_prompt_files(tmp_path / "mmbench.txt", tmp_path / "extra.txt")
    assert prompt.fill("q", "a", [], "p") == "Q q A a R p"
    assert prompt.fill("q", "a", ["b"], "p") == "q|a|b|p"
    assert prompt.origin == "mmbench.txt and extra.txt"
    assert prompt.sha256 != own_prompt().sha256


def test_a_prompt_without_a_place_for_the_prediction_is_refused() -> None:
    with pytest.raises(ValueError, match=r"here.* lacks \{prediction\}"):
        JudgePrompt(single="{question} {answer}", several="", origin="here")


def test_a_judge_is_asked_again_after_nonsense() -> None:
    said = iter(["well...", "5 of 5", "4"])
    judge = WritingJudge(Saying(lambda _: next(said)))
    assert judge.mark("?") == 4
    with pytest.raises(JudgeError, match="toy gave no mark from 1 to 5: 'hm'"):
        WritingJudge(Saying(lambda _: "hm")).mark("?")


def test_the_expected_mark_is_that_of_the_five_digits_logits() -> None:
    vlm = toy_speaker()
    chances = choice_probabilities(vlm, ask("Your mark:"), MARKS)
    assert sum(chances) == pytest.approx(1)
    mark = ExpectingJudge(vlm).mark("Your mark:")
    assert mark == pytest.approx(sum((i + 1) * chance for i, chance in enumerate(chances)))
