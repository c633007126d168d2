"""Ways to point at several things at once, and at what is not in the picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlcd.playroom.descriptions import (
    SPOKEN,
    Description,
    fit_of_state,
)
from mlcd.playroom.named_scenes import STATES, State
from mlcd.playroom.names import Name
from mlcd.playroom.pointing import Form, Pointer
from mlcd.playroom.questions.question import OWN_COLOURS
from mlcd.playroom.tints import NAMED_COLOURS
from mlcd.playroom.views import EDGES, SIDES, View, fit_of_half, fit_of_relation

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
_SHORT = ("name", "attributes", "edge", "size")
"""Forms of the two parts of "the left duck and the boat"."""
_NUM_PAIRS = 12


def plural_pointers(
    view: View, singles: Sequence[Pointer], random: np.random.Generator
) -> list[Pointer]:
    """All of a kind, all of a kind on one half of the picture, and pairs of two single things."""
    found: list[Pointer] = []
    for one in view.descriptions:
        if len(one.fit.sure) < 2 or not view.is_nameable(one.fit.sure):
            continue
        words = {"things": one.plural_text, "count": _NUMBERS[len(one.fit.sure)]}
        found.append(Pointer("all", words, tuple(sorted(one.fit.sure)), (one.combination("all"),)))
        for half in EDGES:
            meant = one.fit.both(fit_of_half(view, half))
            if meant.is_clear and 2 <= len(meant.sure) < len(one.fit.sure):
                found.append(
                    Pointer(
                        "half",
                        {"things": one.plural_text, "half": half},
                        tuple(sorted(meant.sure)),
                        (one.combination(f"all {half}"),),
                    )
                )
    return found + _pairs(singles, random)


def _pairs(singles: Sequence[Pointer], random: np.random.Generator) -> list[Pointer]:
    short = [single for single in singles if single.form in _SHORT]
    found: list[Pointer] = []
    for _ in range(_NUM_PAIRS if len(short) > 1 else 0):
        first, second = (short[int(i)] for i in random.integers(len(short), size=2))
        if first.targets != second.targets:
            words = {"first": _short_text(first), "second": _short_text(second)}
            found.append(
                Pointer(
                    "two",
                    words,
                    tuple(sorted(first.targets + second.targets)),
                    first.combinations + second.combinations,
                )
            )
    return found


def _short_text(single: Pointer) -> str:
    before = single.words.get("edge") or single.words.get("size")
    return f"{before} {single.words['thing']}" if before else single.words["thing"]


def absent_pointers(
    view: View, names: Sequence[Name], random: np.random.Generator
) -> list[Pointer]:
    """What is not in the picture: a name, a colour or state of a name, a thing beside another."""
    found = _absent_names(view, names, random)
    for one in view.descriptions:
        if one.is_bare:
            found += _absent_attributes(view, one) + _absent_relations(view, one)
    return found


def _absent_names(view: View, names: Sequence[Name], random: np.random.Generator) -> list[Pointer]:
    """Only where each thing is large enough that one can tell that it is none of those."""
    things = view.sight.things
    if not all(thing.is_nameable for thing in things):
        return []
    here = {thing.named.name.text for thing in things}
    found: list[Pointer] = []
    for name in (names[int(i)] for i in random.integers(len(names), size=4)):
        if name.text in here or name.lookalikes & here:
            continue
        colours = [None, *(thing.named.colour for thing in things if thing.named.colour)]
        colour = colours[int(random.integers(len(colours)))]
        text = f"{colour} {name.text}" if colour else name.text
        combination = (name.text, colour or OWN_COLOURS, "absent")
        found.append(Pointer("absent name", {"thing": text}, (), (combination,)))
    return found


def _absent_attributes(view: View, one: Description) -> list[Pointer]:
    """The green duck, where there are ducks and none is green; the tilted duck; the tilted red one,
    where there are red ducks and tilted ones.
    """
    colours = [view.sight.things[i].named.colour for i in sorted(one.fit.possible)]
    found: list[Pointer] = []
    if None not in colours:
        for colour in NAMED_COLOURS:
            if colour not in colours:
                found.append(_absent("absent colour", one.noun, colour, None))
    for state in STATES:
        tilted = one.fit.both(fit_of_state(view.sight, state)).possible
        if not tilted:
            found.append(_absent("absent state", one.noun, None, state))
        for colour in dict.fromkeys(filter(None, colours)):
            if all(view.sight.things[i].named.colour not in (None, colour) for i in tilted):
                found.append(_absent("absent state", one.noun, colour, state))
    return found


def _absent(form: Form, noun: str, colour: str | None, state: State | None) -> Pointer:
    text = " ".join(word for word in (state and SPOKEN[state], colour, noun) if word)
    combination = (noun, colour or OWN_COLOURS, f"absent {state or 'colour'}")
    return Pointer(form, {"thing": text}, (), (combination,))


def _absent_relations(view: View, one: Description) -> list[Pointer]:
    """The duck above the boat, where both are there and it is not above it."""
    others = [
        other
        for other in view.descriptions
        if len(other.fit.sure) == 1 and other.is_bare and other.noun != one.noun
    ]
    found: list[Pointer] = []
    for other in others:
        (landmark,) = other.fit.sure
        if landmark in one.fit.sure or not view.sight.things[landmark].is_nameable:
            continue
        for relation in SIDES:
            if not one.fit.both(fit_of_relation(view, relation, landmark)).possible:
                words = {"thing": one.noun, "relation": relation, "other": other.noun}
                combination = (one.noun, OWN_COLOURS, f"absent {relation}")
                found.append(Pointer("absent relation", words, (), (combination,)))
    return found
