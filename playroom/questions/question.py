"""What one question is: its kind, its words, its one right answer, and what it gives away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from mlcd.playroom.relations import SeenThing

Kind = Literal["name", "category", "colour", "count", "place", "relation", "state", "yes_no", "use"]
KINDS: tuple[Kind, ...] = get_args(Kind)

Combination = tuple[str, str, str]
"""Name, colour and relation (a place, a state, ...): what is split between training and test."""

OWN_COLOURS = "own colours"
"""Stands for the colour of an untinted thing in a combination."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """One way to point at a thing that points at no other; `form` is a form of `wordings.json`."""

    form: str
    thing: SeenThing
    words: Mapping[str, str]
    attribute: str
    """What of the thing it uses: name, colour, place or size."""

    @property
    def word(self) -> str:
        """The word by which it points."""
        return " ".join(self.words.values()) or self.form


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """Two attributes of one thing that a question with its answer brings together."""

    index: int
    attributes: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question before it is put into words."""

    kind: Kind
    form: str
    """A form of `wordings.json`."""
    sort: str = ""
    """What is balanced on its own within a kind."""
    answer: str
    accepted: tuple[str, ...] = ()
    """Other right answers."""
    words: Mapping[str, str] = field(default_factory=dict)
    thing: Reference | None = None
    other: Reference | None = None
    combination: Combination | None = None
    links: tuple[Link, ...] = ()
    fresh: tuple[str, ...] = ()
    """Words that give the answer away when they came up before in a conversation."""
    size: float | None = None
    """Side of the thing that is asked about, as a share of the picture's shorter side."""


def combination_of(thing: SeenThing, relation: str) -> Combination:
    """The thing's name and colour with what is said of it."""
    return thing.named.name.text, thing.named.colour or OWN_COLOURS, relation
