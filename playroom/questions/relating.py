"""How two things stand to each other: on which side, which thing there, in front or behind."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from mlcd.playroom.questions.question import Link, Question, Reference, combination_of
from mlcd.playroom.relations import SIDES, SeenThing, Side, Sight, only_one_on_side, side_of

SIDE_WORDS: dict[Side, str] = {
    "left": "to the left of",
    "right": "to the right of",
    "above": "above",
    "below": "below",
}
_ACCEPTED_SIDES: dict[Side, tuple[str, ...]] = {
    "left": ("to the left", "on the left", "left side", "on the left side"),
    "right": ("to the right", "on the right", "right side", "on the right side"),
    "above": ("over", "up", "on top", "above it"),
    "below": ("under", "down", "underneath", "below it"),
}
_POINTING = ("name", "colour", "colour name")
"""Forms of references that say nothing of where a thing is."""


def relation_questions(sight: Sight, references: Sequence[Reference]) -> list[Question]:
    """Sides of pairs, the one thing on a side, the one thing in front or behind, and depth."""
    pointing = [ref for ref in references if ref.form in _POINTING]
    found: list[Question] = []
    for thing, other in permutations(pointing, 2):
        if thing.thing.index == other.thing.index:
            continue
        side = side_of(thing.thing, other.thing, sight.scene.shape)
        if side is not None:
            found.append(_of_pair("side", thing, other, side, _ACCEPTED_SIDES[side]))
        if sight.only_partner(other.thing.index, is_front=True) is thing.thing:
            found.append(_of_pair("depth", thing, other, "in front", _IN_FRONT))
        if sight.only_partner(other.thing.index, is_front=False) is thing.thing:
            found.append(_of_pair("depth", thing, other, "behind", _BEHIND))
    for other in pointing:
        found += [
            _which(thing, other, words)
            for thing, words in _partners(sight, other.thing)
            if thing.is_nameable
        ]
    return found


_IN_FRONT, _BEHIND = ("in front of it", "front"), ("behind it", "back")


def _partners(sight: Sight, other: SeenThing) -> list[tuple[SeenThing, str]]:
    """Things that are alone in how they stand to this one, with the words for it."""
    found = [
        (only_one_on_side(other, side, sight.things, sight.scene.shape), SIDE_WORDS[side])
        for side in SIDES
    ]
    found.append((sight.only_partner(other.index, is_front=True), "in front of"))
    found.append((sight.only_partner(other.index, is_front=False), "behind"))
    return [(thing, words) for thing, words in found if thing is not None]


def _of_pair(
    sort: str, thing: Reference, other: Reference, answer: str, accepted: tuple[str, ...]
) -> Question:
    return Question(
        kind="relation",
        form=f"relation {sort}",
        sort=sort,
        answer=answer,
        accepted=accepted,
        thing=thing,
        other=other,
        combination=combination_of(thing.thing, answer),
        links=pair_links(thing.thing, other.thing),
        size=min(thing.thing.named.placed.size, other.thing.named.placed.size),
    )


def _which(thing: SeenThing, other: Reference, words: str) -> Question:
    return Question(
        kind="relation",
        form="relation which",
        sort="which",
        answer=thing.named.name.text,
        accepted=thing.named.name.accepted,
        words={"side": words},
        other=other,
        combination=combination_of(thing, words),
        links=(
            *pair_links(thing, other.thing),
            Link(index=thing.index, attributes=frozenset({"name", f"from {other.thing.index}"})),
        ),
        size=min(thing.named.placed.size, other.thing.named.placed.size),
    )


def pair_links(thing: SeenThing, other: SeenThing) -> tuple[Link, Link]:
    """What a question about how two things stand to each other gives away of both."""
    return (
        Link(index=thing.index, attributes=frozenset({f"from {other.index}"})),
        Link(index=other.index, attributes=frozenset({f"from {thing.index}"})),
    )
