"""What can be said of a thing by itself, what it fits beyond doubt, and what it fits perhaps.

A description is a noun (a name, a category or "thing"), with a colour and a state or without.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

from mlcd.playroom.named_scenes import State
from mlcd.playroom.names import categories
from mlcd.playroom.questions.question import OWN_COLOURS, Combination
from mlcd.playroom.relations import SeenThing, Sight

ANYTHING = "thing"
SPOKEN: dict[State, str] = {
    "upright": "upright",
    "tilted": "tilted",
    "on its side": "sideways",
    "upside down": "upside down",
}
"""States as they stand before a noun."""


class Fit(NamedTuple):
    """Numbers of things that something is true of: for certain, and as somebody might see it."""

    sure: frozenset[int]
    possible: frozenset[int]

    @property
    def is_clear(self) -> bool:
        """Whether it leaves no thing in doubt."""
        return self.sure == self.possible

    def both(self, other: Fit) -> Fit:
        """Where this and the other are true."""
        return Fit(self.sure & other.sure, self.possible & other.possible)


class Description(NamedTuple):
    """A noun with what stands before it."""

    noun: str
    plural: str
    colour: str | None
    state: State | None
    fit: Fit

    @property
    def text(self) -> str:
        """upside down red duck."""
        return self._with(self.noun)

    @property
    def plural_text(self) -> str:
        """upside down red ducks."""
        return self._with(self.plural)

    @property
    def is_bare(self) -> bool:
        """Whether it is a noun alone."""
        return self.colour is None and self.state is None

    def combination(self, relation: str) -> Combination:
        """The description with what else is said."""
        return self.noun, self.colour or OWN_COLOURS, relation

    def _with(self, noun: str) -> str:
        state = SPOKEN[self.state] if self.state else None
        return " ".join(word for word in (state, self.colour, noun) if word)


def fit(verdicts: Iterable[bool | None]) -> Fit:
    """Of a verdict for each thing in turn: true, false, or in doubt."""
    listed = list(verdicts)
    return Fit(
        frozenset(i for i, verdict in enumerate(listed) if verdict),
        frozenset(i for i, verdict in enumerate(listed) if verdict is not False),
    )


def descriptions(sight: Sight) -> list[Description]:
    """All that fit something in the picture and leave no thing in doubt."""
    things = sight.things
    nouns = _nouns(sight)
    colours = {None: _all(sight)} | {
        colour: fit(thing.named.colour == colour for thing in things)
        for colour in dict.fromkeys(thing.named.colour for thing in things if thing.named.colour)
    }
    states = {None: _all(sight)} | {
        state: fit_of_state(sight, state)
        for state in dict.fromkeys(thing.named.state for thing in things if thing.named.state)
    }
    found: list[Description] = []
    for (noun, plural, of_noun), (colour, of_colour), (state, of_state) in product(
        nouns, colours.items(), states.items()
    ):
        meant = of_noun.both(of_colour).both(of_state)
        if meant.sure and meant.is_clear:
            found.append(Description(noun, plural, colour, state, meant))
    return found


def fit_of_name(sight: Sight, text: str) -> Fit:
    """What is called so; of what is too small to be recognised one may doubt it."""
    return fit(_if_nameable(t, t.named.name.text == text) for t in sight.things)


def fit_of_category(sight: Sight, text: str) -> Fit:
    """What belongs to the category; what people also call so is in doubt."""
    return fit(
        None
        if text in thing.named.name.accepted_kinds
        else _if_nameable(thing, thing.named.name.category == text)
        for thing in sight.things
    )


def fit_of_state(sight: Sight, state: State) -> Fit:
    """What lies so; of what has no clear upright one may doubt it."""
    return fit(
        None if thing.named.state is None else _if_nameable(thing, thing.named.state == state)
        for thing in sight.things
    )


def _nouns(sight: Sight) -> list[tuple[str, str, Fit]]:
    names = {thing.named.name.text: thing.named.name for thing in sight.things}
    kinds = dict.fromkeys(name.category for name in names.values())
    return [
        *((text, name.plural, fit_of_name(sight, text)) for text, name in names.items()),
        *((_countable(kind), categories()[kind], fit_of_category(sight, kind)) for kind in kinds),
        (ANYTHING, f"{ANYTHING}s", _all(sight)),
    ]


def _countable(category: str) -> str:
    """An animal, but a piece of clothing."""
    return category if categories()[category] == f"{category}s" else f"piece of {category}"


def _all(sight: Sight) -> Fit:
    every = frozenset(range(len(sight.things)))
    return Fit(every, every)


def _if_nameable(thing: SeenThing, verdict: bool) -> bool | None:
    return None if verdict and not thing.is_nameable else verdict
