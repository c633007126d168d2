"""How many there are: of all things, of a category, of a colour, of a name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from mlcd.playroom.names import Name, categories
from mlcd.playroom.questions.question import OWN_COLOURS, Combination, Question
from mlcd.playroom.relations import Sight
from mlcd.playroom.tints import NAMED_COLOURS

MOST_COUNTED = 4
"""Of one kind; all things together may be more."""
_WORDS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight")


def count_questions(
    sight: Sight, names: Sequence[Name], random: np.random.Generator
) -> list[Question]:
    """Counts of all things, of every colour and category, and of names both there and absent.

    What things are is only asked for when every thing is large enough to be recognised.
    """
    things = sight.things
    found = [_count("all", "things", len(things))]
    if not sight.scene.is_natural:
        colours = Counter(thing.named.colour for thing in things)
        found += [_count("colour", f"{c} things", colours[c], fresh=(c,)) for c in NAMED_COLOURS]
    if all(thing.is_nameable for thing in things):
        kinds = Counter(thing.named.name.category for thing in things)
        found += [_count("category", plural, kinds[kind]) for kind, plural in categories().items()]
        counted = Counter(thing.named.name for thing in things)
        absent = names[int(random.integers(len(names)))]
        if not any(absent.text in name.lookalikes for name in counted):
            counted.setdefault(absent, 0)
        found += [
            _count(
                "name",
                name.plural,
                number,
                fresh=(name.text,),
                combination=(name.text, OWN_COLOURS, "count"),
            )
            for name, number in counted.items()
        ]
    return [q for q in found if q.sort == "all" or int(q.answer) <= MOST_COUNTED]


def _count(
    sort: str,
    counted: str,
    number: int,
    *,
    fresh: tuple[str, ...] = (),
    combination: Combination | None = None,
) -> Question:
    return Question(
        kind="count",
        form="count",
        sort=sort,
        answer=str(number),
        accepted=(_WORDS[number], *(("no", "zero") if number == 0 else ())),
        words={"counted": counted},
        combination=combination,
        fresh=fresh,
    )
