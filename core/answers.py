"""When an answer in words is right, and how often answers of each kind are."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_ARTICLES = ("a ", "an ", "the ")


@dataclass(frozen=True, kw_only=True, slots=True)
class Marked:
    """An answer that was marked. Answers with the same `pair` count once, when all are right."""

    kind: str
    is_right: bool
    pair: str | None = None


def normalise_answer(text: str) -> str:
    """Lower case, without punctuation, "it is", an article at the start and needless spaces."""
    words = re.sub(r"[^\w\s]", " ", text.lower().replace("'s ", " is "))
    said = " ".join(words.split()).removeprefix("it is ")
    for article in _ARTICLES:
        said = said.removeprefix(article)
    return said


def is_right(prediction: str, accepted: Iterable[str]) -> bool:
    """Whether the prediction is one of the accepted answers, both normalised."""
    return normalise_answer(prediction) in {normalise_answer(answer) for answer in accepted}


def values_by_kind(answers: Sequence[Marked]) -> dict[str, list[float]]:
    """1 for right and 0 for wrong, one value for an answer or a whole pair, by kind.

    An answer whose partner is not there has no value: half a pair proves nothing.
    """
    values: defaultdict[str, list[float]] = defaultdict(list)
    pairs: defaultdict[tuple[str, str], list[bool]] = defaultdict(list)
    for answer in answers:
        if answer.pair is None:
            values[answer.kind].append(float(answer.is_right))
        else:
            pairs[answer.kind, answer.pair].append(answer.is_right)
    for (kind, _), rights in pairs.items():
        if len(rights) > 1:
            values[kind].append(float(all(rights)))
    return dict(values)


def accuracy_by_kind(answers: Sequence[Marked]) -> dict[str, float]:
    """The share that is right of each kind; a kind without a value is not there."""
    return {kind: sum(values) / len(values) for kind, values in values_by_kind(answers).items()}


def mean_over_kinds(accuracies: Mapping[str, float]) -> float:
    """Every kind counts the same; ValueError when there is none."""
    if not accuracies:
        raise ValueError("expected the accuracy of at least one kind of question, got none")
    return sum(accuracies.values()) / len(accuracies)
