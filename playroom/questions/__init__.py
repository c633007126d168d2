"""Every question that a picture answers beyond doubt, by kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mlcd.playroom.names import Name
from mlcd.playroom.questions.attributes import (
    category_questions,
    colour_questions,
    name_questions,
    place_questions,
    state_questions,
)
from mlcd.playroom.questions.claims import claim_questions
from mlcd.playroom.questions.counting import count_questions
from mlcd.playroom.questions.question import KINDS, Kind, Question, Reference
from mlcd.playroom.questions.references import references
from mlcd.playroom.questions.relating import relation_questions
from mlcd.playroom.questions.uses import use_questions
from mlcd.playroom.relations import Sight

__all__ = ["KINDS", "Kind", "Question", "questions_of_kind"]

_ATTRIBUTES: dict[Kind, Callable[[Sequence[Reference]], list[Question]]] = {
    "name": name_questions,
    "category": category_questions,
    "colour": colour_questions,
    "place": place_questions,
    "state": state_questions,
}


def questions_of_kind(
    kind: Kind, sight: Sight, names: Sequence[Name], random: np.random.Generator
) -> list[Question]:
    """All questions of one kind; `names` are those that may be asked for in vain."""
    if kind == "count":
        return count_questions(sight, names, random)
    if kind == "yes_no":
        return claim_questions(sight, names, random)
    if kind == "use":
        return use_questions(sight)
    if kind == "relation":
        return relation_questions(sight, references(sight))
    return _ATTRIBUTES[kind](references(sight))
