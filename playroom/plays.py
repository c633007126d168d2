"""What happens in an episode: things with their ways through time, a camera, and named events.

A play is continuous; `episodes.py` cuts it into frames. Places are shares of the world, which is
larger than what the camera sees of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from mlcd.playroom.named_scenes import NamedThing
from mlcd.playroom.scenes import Ground, Light, PlacedThing

Point = tuple[float, float]
EventKind = Literal[
    "appears", "moved", "put in", "taken", "leaves", "returns", "hidden", "passed by"
]
EVENT_KINDS: tuple[EventKind, ...] = get_args(EventKind)

NOWHERE: Point = (-9.0, -9.0)
"""Where a thing is that is not in the world: it keeps its place in the list of things."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happens."""

    kind: EventKind
    start_s: float
    stop_s: float
    thing: int
    """Whom it happens to: its number in the list of things."""
    other: int | None = None
    """What it is put in or taken from, what hides it, what passes it."""
    text: str
    """The event in words, as "the red dog leaves"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """Where a thing is at one moment; between two of them it moves smoothly."""

    at_s: float
    center: Point | None
    """None: nowhere, until the next key, at which it is suddenly there."""
    scale: float = 1.0
    """Its size, of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """A thing and its way."""

    named: NamedThing
    keys: tuple[Key, ...]
    """By time. Before the first it is where that one says, after the last where that one does."""

    def placed_at(self, stamp_s: float) -> PlacedThing:
        """The thing as it stands at that moment."""
        number = bisect_right([key.at_s for key in self.keys], stamp_s)
        before = self.keys[max(0, number - 1)]
        after = self.keys[min(number, len(self.keys) - 1)]
        if before.center is None:
            return replace(self.named.placed, center=NOWHERE)
        there = after.center
        if there is None:
            after, there = before, before.center
        share = _eased(before.at_s, after.at_s, stamp_s)
        return replace(
            self.named.placed,
            center=between(before.center, there, share),
            size=self.named.placed.size * (before.scale + (after.scale - before.scale) * share),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """What the camera sees of the world."""

    center: Point = (0.5, 0.5)
    share: float = 1.0
    """Of the world's width, and of its height."""

    @property
    def window(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 as shares of the world, inside it wherever the camera was pointed."""
        half = self.share / 2
        x, y = (min(max(value, half), 1 - half) for value in self.center)
        return x - half, y - half, x + half, y + half


@dataclass(frozen=True, kw_only=True, slots=True)
class Shot:
    """Where the camera looks at one moment; between two of them it pans and zooms smoothly."""

    at_s: float
    view: View


@dataclass(frozen=True, kw_only=True, slots=True)
class Play:
    """Everything that happens, and how it is looked at."""

    actors: tuple[Actor, ...]
    shots: tuple[Shot, ...]
    events: tuple[Event, ...]
    length_s: float
    ground: Ground
    light: Light


def calm_shots(
    random: np.random.Generator, length_s: float, *, least_share: float
) -> tuple[Shot, ...]:
    """A camera in a hand: it sways and zooms, and never loses the middle of the world."""
    shots = []
    for number in range(4):
        share = float(random.uniform(least_share, 1.0))
        center = (float(random.uniform(0.4, 0.6)), float(random.uniform(0.4, 0.6)))
        shots.append(Shot(at_s=length_s * number / 3, view=View(center=center, share=share)))
    return tuple(shots)


def view_at(shots: Sequence[Shot], stamp_s: float) -> View:
    """What the camera sees at that moment."""
    number = bisect_right([shot.at_s for shot in shots], stamp_s)
    before, after = shots[max(0, number - 1)], shots[min(number, len(shots) - 1)]
    share = _eased(before.at_s, after.at_s, stamp_s)
    return View(
        center=between(before.view.center, after.view.center, share),
        share=before.view.share + (after.view.share - before.view.share) * share,
    )


def between(start: Point, stop: Point, share: float) -> Point:
    """The point that far on the way."""
    return start[0] + (stop[0] - start[0]) * share, start[1] + (stop[1] - start[1]) * share


def _eased(start_s: float, stop_s: float, stamp_s: float) -> float:
    """How far on the way, 0 to 1, starting and stopping gently."""
    if stop_s <= start_s:
        return 0.0
    share = min(max((stamp_s - start_s) / (stop_s - start_s), 0.0), 1.0)
    return share * share * (3 - 2 * share)
