"""Answers are right by their words alone, and a pair counts once."""

from __future__ import annotations

import pytest

from mlcd.core.answers import (
    Marked,
    accuracy_by_kind,
    is_right,
    mean_over_kinds,
    normalise_answer,
)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("The Dog.", "dog"),
        ("  an   apple ", "apple"),
        ("It is a dog", "dog"),
        ("It's red!", "red"),
        ("upside-down", "upside down"),
        ("Yes,", "yes"),
        ("the", "the"),
        ("another", "another"),
    ],
)
def test_case_punctuation_and_articles_do_not_matter(said: str, meant: str) -> None:
    assert normalise_answer(said) == meant


def test_other_words_are_wrong_even_when_the_answer_is_among_them() -> None:
    assert is_right("Top left", ("top left", "upper left"))
    assert not is_right("dog or cat", ("dog",))
    assert not is_right("", ("dog",))


def test_a_pair_counts_once_and_only_when_both_are_right() -> None:
    answers = [
        Marked(kind="yes_no", is_right=True, pair="a"),
        Marked(kind="yes_no", is_right=False, pair="a"),
        Marked(kind="yes_no", is_right=True, pair="b"),
        Marked(kind="yes_no", is_right=True, pair="b"),
        Marked(kind="yes_no", is_right=True, pair="c"),  # its partner is not there
        Marked(kind="name", is_right=True),
        Marked(kind="name", is_right=False),
        Marked(kind="name", is_right=False),
    ]
    accuracy = accuracy_by_kind(answers)
    assert accuracy == {"yes_no": 0.5, "name": pytest.approx(1 / 3)}
    assert mean_over_kinds(accuracy) == pytest.approx((0.5 + 1 / 3) / 2)


def test_a_mean_over_no_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one kind"):
        mean_over_kinds({})
