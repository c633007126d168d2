"""What people call the things: names, categories, and what each thing is good for.

The list is `names.json`. A name belongs to one thing that is drawn in two styles; whether the
towers were trained on that thing is the thing's own `is_test`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from mlcd.playroom.things import Thing, scene_things


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """What one thing is called."""

    text: str
    plural: str
    thing: Thing
    category: str
    has_upright: bool
    """Whether both drawings of it have a clear upright, so that one can say how it lies."""
    accepted: tuple[str, ...]
    """Other right answers to the question for its name."""
    accepted_kinds: tuple[str, ...]
    """Other right answers to the question for its category."""
    lookalikes: frozenset[str]
    """Names of things that could be taken for it, or called so too: never in one scene with it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """What somebody could want to do, and the things for it."""

    purpose: str
    names: tuple[str, ...]
    unclear: frozenset[str]
    """Things that might do as well: with one of them in the scene nobody should be asked."""


@cache
def all_names() -> tuple[Name, ...]:
    """Every name, in the order of the list."""
    document = _document()
    things = {thing.short_name: thing for thing in scene_things()}
    groups = [frozenset(group) for group in document["lookalikes"]]
    categories = document["categories"]
    return tuple(
        Name(
            text=entry["name"],
            plural=entry["plural"],
            thing=things[entry["art"]],
            category=entry["category"],
            has_upright=entry["stands"],
            accepted=tuple(entry["accepted"]),
            accepted_kinds=(*categories[entry["category"]]["accepted"], *entry["kinds"]),
            lookalikes=frozenset(
                name for group in groups if entry["name"] in group for name in group
            )
            - {entry["name"]},
        )
        for entry in document["names"]
    )


@cache
def name_of(text: str) -> Name:
    """The name spelled `text`; ValueError when there is none."""
    for name in all_names():
        if name.text == text:
            return name
    raise ValueError(f"{text!r} is no name of the playroom; see playroom/names.json")


@cache
def categories() -> dict[str, str]:
    """Each category with its plural."""
    return {name: entry["plural"] for name, entry in _document()["categories"].items()}


@cache
def all_uses() -> tuple[Use, ...]:
    """Every use, in the order of the list."""
    return tuple(
        Use(
            purpose=entry["purpose"],
            names=tuple(entry["names"]),
            unclear=frozenset(entry["unclear"]),
        )
        for entry in _document()["uses"]
    )


@cache
def _document() -> dict[str, Any]:
    text = (resources.files("mlcd.playroom") / "names.json").read_text(encoding="utf-8")
    return dict(json.loads(text))
