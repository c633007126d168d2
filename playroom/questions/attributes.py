"""Questions about one thing: what it is, of which kind, which colour, where, and which way up."""

from __future__ import annotations

from collections.abc import Sequence

from mlcd.playroom.named_scenes import State
from mlcd.playroom.questions.question import Kind, Link, Question, Reference, combination_of


def name_questions(references: Sequence[Reference]) -> list[Question]:
    """What the thing is called."""
    return [
        _about(ref, "name", "name", ref.thing.named.name.text, ref.thing.named.name.accepted)
        for ref in references
        if ref.thing.is_nameable and "name" not in ref.words
    ]


def category_questions(references: Sequence[Reference]) -> list[Question]:
    """What kind of thing it is."""
    return [
        _about(
            ref,
            "category",
            "name",
            ref.thing.named.name.category,
            ref.thing.named.name.accepted_kinds,
        )
        for ref in references
        if ref.thing.is_nameable and "name" not in ref.words
    ]


def colour_questions(references: Sequence[Reference]) -> list[Question]:
    """Which colour it has, where colours have names."""
    return [
        _about(ref, "colour", "colour", ref.thing.named.colour, ())
        for ref in references
        if ref.thing.named.colour is not None and "colour" not in ref.words
    ]


def place_questions(references: Sequence[Reference]) -> list[Question]:
    """In which ninth of the picture it is."""
    return [
        _about(ref, "place", "place", ref.thing.place, accepted_places(ref.thing.place))
        for ref in references
        if ref.thing.place is not None and ref.form != "place"
    ]


def state_questions(references: Sequence[Reference]) -> list[Question]:
    """Whether it stands upright, is tilted, lies on its side or is upside down."""
    return [
        _about(ref, "state", "state", state, _ACCEPTED_STATES[state])
        for ref in references
        if (state := ref.thing.named.state) is not None and ref.thing.is_nameable
    ]


def accepted_places(place: str) -> tuple[str, ...]:
    """Other words for a ninth of the picture."""
    if place == "middle":
        return ("center", "centre", "in the middle", "middle middle")
    row, column = place.split()
    spelled = {
        order.replace("middle", middle)
        for order in (f"{row} {column}", f"{column} {row}")
        for middle in ("middle", "center", "centre")
    }
    if row == "middle" or column == "middle":
        spelled.add(column if row == "middle" else row)
    return tuple(sorted(spelled - {place}))


def accepted_states(state: State) -> tuple[str, ...]:
    """Other words for how a thing stands."""
    return _ACCEPTED_STATES[state]


_ACCEPTED_STATES: dict[State, tuple[str, ...]] = {
    "upright": ("standing upright", "standing", "right way up"),
    "tilted": ("leaning", "slanted"),
    "on its side": ("lying on its side", "sideways", "on the side"),
    "upside down": ("on its head", "upside-down"),
}


def _about(
    ref: Reference, kind: Kind, attribute: str, answer: str, accepted: tuple[str, ...]
) -> Question:
    if kind in ("place", "state"):
        relation = answer
    else:
        relation = "colour" if ref.attribute in ("name", "colour") else ref.word
    return Question(
        kind=kind,
        form=kind,
        answer=answer,
        accepted=accepted,
        thing=ref,
        combination=combination_of(ref.thing, relation),
        links=(Link(index=ref.thing.index, attributes=frozenset({ref.attribute, attribute})),),
        size=ref.thing.named.placed.size,
    )
