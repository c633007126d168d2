"""How questions are put into words: templates, of which some are for tests alone.

The templates are `wordings.json`. Test wordings are new arrangements of words that training
wordings use too. Combinations of a name, a colour and a relation are split likewise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Literal

import numpy as np

from mlcd.playroom.questions import Question
from mlcd.playroom.questions.question import Combination, Reference

Split = Literal["train", "test"]
Templates = Mapping[str, Mapping[Split, tuple[str, ...]]]

TEST_SHARE = 0.2
"""Share of the combinations that are kept for tests."""


def put_into_words(question: Question, split: Split, random: np.random.Generator) -> str:
    """The question as somebody would ask it, in a random wording of the split."""
    words = dict(question.words)
    if question.thing is not None:
        words["thing"] = _pointing(question.thing, split, random)
    if question.other is not None:
        words["other"] = _pointing(question.other, split, random)
    return _said(templates("questions")[question.form][split], words, random)


def belongs_to(combination: Combination | None, split: Split) -> bool:
    """Whether the split may ask for this; what combines nothing may be asked for in both."""
    if combination is None:
        return True
    digest = hashlib.sha256("|".join(combination).encode()).digest()
    is_test = int.from_bytes(digest[:4], "big") < TEST_SHARE * 2**32
    return is_test == (split == "test")


def caption_request(random: np.random.Generator) -> str:
    """What somebody says who wants to hear all that is in a picture."""
    return _said(templates("questions")["caption"]["train"], {}, random)


def phrase_in_words(
    form: str, words: Mapping[str, str], split: Split, random: np.random.Generator, *, is_long: bool
) -> str:
    """A referring expression, in lower case; `is_long` asks for a sentence as RefCOCOg has them."""
    return _fill(templates("phrases")[f"long {form}" if is_long else form][split], words, random)


@cache
def templates(part: Literal["references", "questions", "phrases"]) -> Templates:
    """The templates of a part of the list, by form and split."""
    text = (resources.files("mlcd.playroom") / "wordings.json").read_text(encoding="utf-8")
    return {
        form: {split: tuple(wordings) for split, wordings in splits.items()}
        for form, splits in json.loads(text)[part].items()
    }


def _pointing(reference: Reference, split: Split, random: np.random.Generator) -> str:
    return _fill(templates("references")[reference.form][split], reference.words, random)


def _said(choices: tuple[str, ...], words: Mapping[str, str], random: np.random.Generator) -> str:
    text = _fill(choices, words, random)
    return text[0].upper() + text[1:]


def _fill(choices: tuple[str, ...], words: Mapping[str, str], random: np.random.Generator) -> str:
    return choices[int(random.integers(len(choices)))].format(**words)
