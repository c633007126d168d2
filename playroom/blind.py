"""What answers get that look at no picture: how much a score on the test questions is worth.

Both baselines know the kind and the sort of every question. `constant` knows the test's answers
too and takes the best one of each kind; `words` answers what training mostly answers to questions
with the same content words, however they are worded.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from mlcd.core.answers import Marked, accuracy_by_kind, is_right
from mlcd.playroom.named_scenes import STATES
from mlcd.playroom.names import all_names, all_uses, categories
from mlcd.playroom.relations import PLACES, SIDES
from mlcd.playroom.tints import NAMED_COLOURS

Item = Mapping[str, Any]
"""One item of the files that `conversation_files` writes."""
Key = tuple[str, ...]

_NO_CONTENT = {"a", "at", "have", "in", "its", "my", "of", "on", "tell", "the", "to", "up", "with"}


def blind_accuracy(training: Sequence[Item], tests: Sequence[Item]) -> dict[str, dict[str, float]]:
    """Accuracy by kind of each baseline on test items of one row."""
    learned = _learn(training)
    best = _best_constants(tests)
    answerers: dict[str, Callable[[Item], str]] = {
        "constant": lambda item: best[item["kind"]],
        "words": learned,
    }
    return {
        name: accuracy_by_kind(
            [
                Marked(
                    kind=item["kind"],
                    is_right=is_right(answer(item), (item["answer"], *item["accepted"])),
                    pair=item["pair"],
                )
                for item in tests
            ]
        )
        for name, answer in answerers.items()
    }


def content_words(text: str) -> tuple[str, ...]:
    """The words of a question that are not merely its wording, sorted."""
    return tuple(sorted(set(re.findall(r"[a-z]+", text.lower())) & _content_vocabulary()))


def _best_constants(tests: Sequence[Item]) -> dict[str, str]:
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for item in tests:
        counts[item["kind"]][item["answer"]] += 1
    return {kind: answers.most_common(1)[0][0] for kind, answers in counts.items()}


def _learn(training: Sequence[Item]) -> Callable[[Item], str]:
    """The most frequent training answer to the same content words, or else of the same sort."""
    counts: defaultdict[Key, Counter[str]] = defaultdict(Counter)
    for item in training:
        turns = [turn["value"] for turn in item["conversations"]]
        asked = zip(turns[::2], turns[1::2], item["kinds"], item["sorts"], strict=True)
        for question, answer, kind, sort in asked:
            for key in ((kind,), (kind, sort), (kind, sort, *content_words(question))):
                counts[key][answer] += 1

    def answer_of(item: Item) -> str:
        words = content_words(item["conversations"][0]["value"])
        kind, sort = item["kind"], item["sort"]
        for key in ((kind, sort, *words), (kind, sort), (kind,)):
            if key in counts:
                return counts[key].most_common(1)[0][0]
        return ""

    return answer_of


@cache
def _content_vocabulary() -> frozenset[str]:
    texts = [text for name in all_names() for text in (name.text, name.plural)]
    texts += [*categories().values(), *NAMED_COLOURS, *PLACES, *STATES, *SIDES]
    texts += [*(use.purpose for use in all_uses()), "biggest", "smallest", "front", "behind"]
    return frozenset(word for text in texts for word in text.split()) - _NO_CONTENT
