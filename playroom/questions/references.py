"""The ways to point at a thing: by name, colour, place or size, wherever they leave no doubt."""

from __future__ import annotations

from collections import Counter

from mlcd.playroom.questions.question import Reference
from mlcd.playroom.relations import SeenThing, Sight

_CLEARLY_LARGER = 1.6
"""Ratio of areas between the largest or smallest thing and the next."""


def references(sight: Sight) -> list[Reference]:
    """Every reference to every thing that points at it alone."""
    things = sight.things
    if len(things) == 1:
        return [Reference(form="only", thing=things[0], words={}, attribute="only")]
    names = Counter(thing.named.name.text for thing in things)
    colours = Counter(thing.named.colour for thing in things)
    both = Counter((thing.named.name.text, thing.named.colour) for thing in things)
    found: list[Reference] = []
    for thing in things:
        name, colour = thing.named.name.text, thing.named.colour
        if thing.is_nameable and names[name] == 1:
            found.append(_reference("name", thing, "name", name=name))
        if colour is not None and colours[colour] == 1:
            found.append(_reference("colour", thing, "colour", colour=colour))
        if colour is not None and thing.is_nameable and names[name] > 1 == both[name, colour]:
            found.append(_reference("colour name", thing, "name", colour=colour, name=name))
        if thing.place is not None and thing.owns_place:
            found.append(_reference("place", thing, "place", place=thing.place))
    return found + _extremes(things)


def by_name(sight: Sight, name: str) -> SeenThing | None:
    """The one thing of that name, when it is large enough to be recognised."""
    same = [thing for thing in sight.things if thing.named.name.text == name]
    return same[0] if len(same) == 1 and same[0].is_nameable else None


def _extremes(things: tuple[SeenThing, ...]) -> list[Reference]:
    ordered = sorted(things, key=lambda thing: thing.area)
    found: list[Reference] = []
    if ordered[1].area >= _CLEARLY_LARGER * ordered[0].area:
        found.append(_reference("extreme", ordered[0], "size", extreme="smallest"))
    if ordered[-1].area >= _CLEARLY_LARGER * ordered[-2].area:
        found.append(_reference("extreme", ordered[-1], "size", extreme="biggest"))
    return found


def _reference(form: str, thing: SeenThing, attribute: str, **words: str) -> Reference:
    return Reference(form=form, thing=thing, words=words, attribute=attribute)
