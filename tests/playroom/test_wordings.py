"""Wordings and combinations are split between training and tests, and no test word is new."""

from __future__ import annotations

import re
from itertools import product

import numpy as np

from mlcd.playroom.conversations import conversation, draw_sight
from mlcd.playroom.named_scenes import NamedScenes
from mlcd.playroom.names import all_names
from mlcd.playroom.questions import KINDS, questions_of_kind
from mlcd.playroom.small_tokenizer import training_texts
from mlcd.playroom.tints import NAMED_COLOURS
from mlcd.playroom.wordings import belongs_to, put_into_words, templates

PARTS = ("references", "questions")


def words_of(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", re.sub(r"\{\w+\}", " ", text.lower())))


def test_no_question_is_worded_alike_in_training_and_tests() -> None:
    for splits in templates("questions").values():
        assert len(splits["train"]) >= 4
        assert len(splits["test"]) >= 1
        assert not set(splits["train"]) & set(splits["test"])


def test_test_wordings_use_words_that_training_uses() -> None:
    known = {word for text in training_texts() for word in words_of(text)}
    for part in PARTS:
        for splits in templates(part).values():
            for template in splits["test"]:
                assert words_of(template) <= known, template


def test_every_form_of_every_question_can_be_worded_in_both_splits() -> None:
    random = np.random.default_rng(0)
    scenes = NamedScenes(style="noto", names=all_names())
    forms: set[str] = set()
    for _ in range(60):
        sight = draw_sight(scenes, random, 64)
        for kind in KINDS:
            for question in questions_of_kind(kind, sight, all_names(), random):
                forms.add(question.form)
                for split in ("train", "test"):
                    text = put_into_words(question, split, random)  # type: ignore[arg-type]
                    assert "{" not in text
                    assert text[0].isupper()
                    assert text[-1] in ".?"
    assert forms == set(templates("questions")) - {"caption"}


def test_a_fifth_of_the_combinations_is_for_tests_and_none_for_both() -> None:
    combinations = [
        (name.text, colour, relation)
        for name, colour, relation in product(all_names(), NAMED_COLOURS, ("top left", "tilted"))
    ]
    tested = [c for c in combinations if belongs_to(c, "test")]
    assert 0.17 < len(tested) / len(combinations) < 0.23
    assert all(belongs_to(c, "train") != belongs_to(c, "test") for c in combinations)
    assert belongs_to(None, "train")
    assert belongs_to(None, "test")


def test_training_never_asks_in_a_wording_of_the_tests() -> None:
    patterns = {
        re.compile(re.sub(r"\\\{\w+\\\}", "(?!there ).+", re.escape(template)))
        for splits in templates("questions").values()
        for template in splits["test"]
    }
    for index in range(60):
        for turn in conversation(0, index, size=64).turns:
            assert not any(pattern.fullmatch(turn.question) for pattern in patterns), turn
