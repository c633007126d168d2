"""How much of a right answer is in a prediction, without a judge: a lower bound of its worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from mlcd.core.answers import normalise_answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """From 0 to 1, the best over all accepted answers."""

    exact: float
    """Whether they are the same, normalised (`core/answers.py`)."""
    f1: float
    """F1 of the words, as SQuAD counts them."""
    contains: float
    """Whether the answer's words stand in the prediction, one behind the other."""


def measure_overlap(prediction: str, accepted: Iterable[str]) -> Overlap:
    """The overlap with the best of the `accepted` answers. ValueError when there is none."""
    said = normalise_answer(prediction).split()
    golds = [normalise_answer(answer).split() for answer in accepted]
    if not golds:
        raise ValueError("expected at least one accepted answer, got none")
    return Overlap(
        exact=float(said in golds),
        f1=max(_f1(said, gold) for gold in golds),
        contains=float(any(_stands_in(gold, said) for gold in golds)),
    )


def _f1(said: list[str], gold: list[str]) -> float:
    """2 PR / (P + R) of the words that both have; of two empty answers 1."""
    if not said and not gold:
        return 1.0
    common = (Counter(said) & Counter(gold)).total()
    return 2 * common / (len(said) + len(gold))


def _stands_in(gold: list[str], said: list[str]) -> bool:
    places = range(len(said) - len(gold) + 1)
    return bool(gold) and any(said[place : place + len(gold)] == gold for place in places)
