"""Plays of everyday life: things are moved, put away, fetched, leave and come back; and tours.

What is asked about them is the concern of those who ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mlcd.playroom.named_scenes import NamedScene, NamedScenes, NamedThing
from mlcd.playroom.names import Name
from mlcd.playroom.plays import (
    Actor,
    Event,
    EventKind,
    Key,
    Play,
    Point,
    Shot,
    View,
    calm_shots,
)
from mlcd.playroom.things import Style

_CELLS = 3
_MARGIN = 0.08
"""Of the world, kept free at its edges, so that the camera may move a little."""
_SMALLEST, _LARGEST = 0.15, 0.24
_TOUR_VIEW = 0.5
_TOUR_SIZE = 0.7
"""Things of a tour are smaller in their world, since the camera is closer."""
_TRIES = 100


def everyday_play(
    random: np.random.Generator, *, names: tuple[Name, ...], style: Style, length_s: float
) -> Play:
    """Four to six things of different names; something happens about every three seconds."""
    scene = _cast(random, names, style, least=4, most=6)
    things = [_sized(random, thing) for thing in scene.things]
    script = _Script(random, things)
    num_events = max(1, int(length_s / 3))
    slot = length_s / num_events
    for number in range(num_events):
        start_s = slot * (number + float(random.uniform(0.15, 0.35)))
        script.something_happens(start_s, start_s + slot * float(random.uniform(0.35, 0.55)))
    return Play(
        actors=script.actors(),
        shots=calm_shots(random, length_s, least_share=1 - _MARGIN),
        events=tuple(script.events),
        length_s=length_s,
        ground=scene.scene.ground,
        light=scene.scene.light,
    )


def tour_play(
    random: np.random.Generator, *, names: tuple[Name, ...], style: Style, length_s: float
) -> Play:
    """Six to eight things that stay where they are, and a camera that passes all of them."""
    scene = _cast(random, names, style, least=6, most=8)
    cells = random.permutation(_CELLS * _CELLS)
    actors = []
    for thing, cell in zip(scene.things, cells, strict=False):
        sized = _sized(random, thing, scale=_TOUR_SIZE)
        actors.append(
            Actor(named=sized, keys=(Key(at_s=0.0, center=_spot(random, int(cell), sized)),))
        )
    corners = [(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)]
    first, turn = int(random.integers(4)), 1 if random.random() < 0.5 else -1
    stops = [corners[(first + turn * step) % 4] for step in range(5)]
    return Play(
        actors=tuple(actors),
        shots=tuple(
            Shot(at_s=length_s * step / 4, view=View(center=stop, share=_TOUR_VIEW))
            for step, stop in enumerate(stops)
        ),
        events=(),
        length_s=length_s,
        ground=scene.scene.ground,
        light=scene.scene.light,
    )


def said(thing: NamedThing) -> str:
    """What a thing is called, "the red dog"."""
    return f"the {thing.colour} {thing.name.text}" if thing.colour else f"the {thing.name.text}"


class _Script:
    """Who is where, and what has happened so far."""

    def __init__(self, random: np.random.Generator, things: Sequence[NamedThing]) -> None:
        self._random = random
        self._things = list(things)
        cells = random.permutation(_CELLS * _CELLS)
        self._cell: dict[int, int] = {}
        self._inside: dict[int, int] = {}
        """What is in which container."""
        self._was_there: set[int] = set()
        self._keys: list[list[Key]] = []
        self.events: list[Event] = []
        for number, thing in enumerate(things):
            # One thing is not there yet, so that one can appear.
            if number == len(things) - 1 and not _is_container(thing):
                self._keys.append([Key(at_s=0.0, center=None)])
                continue
            self._cell[number] = int(cells[number])
            self._was_there.add(number)
            self._keys.append([Key(at_s=0.0, center=_spot(random, int(cells[number]), thing))])

    def something_happens(self, start_s: float, stop_s: float) -> None:
        """One event of a kind that is possible now."""
        possible = self._possible()
        kinds = sorted({kind for kind, _, _ in possible})
        kind = kinds[int(self._random.integers(len(kinds)))]
        those = [event for event in possible if event[0] == kind]
        _, thing, other = those[int(self._random.integers(len(those)))]
        text = self._act(kind, thing, other, start_s, stop_s)
        self.events.append(
            Event(kind=kind, start_s=start_s, stop_s=stop_s, thing=thing, other=other, text=text)
        )

    def actors(self) -> tuple[Actor, ...]:
        """The things with the ways that they were given."""
        return tuple(
            Actor(named=thing, keys=tuple(keys))
            for thing, keys in zip(self._things, self._keys, strict=True)
        )

    def _possible(self) -> list[tuple[EventKind, int, int | None]]:
        found: list[tuple[EventKind, int, int | None]] = []
        for number, thing in enumerate(self._things):
            if number in self._inside:
                found.append(("taken", number, self._inside[number]))
            elif number not in self._cell:
                found.append(("returns" if number in self._was_there else "appears", number, None))
            elif _is_container(thing):
                if number not in self._inside.values():
                    found.append(("moved", number, None))
            else:
                found += [("moved", number, None), ("leaves", number, None)]
                found += [
                    ("put in", number, other)
                    for other in self._cell
                    if _is_container(self._things[other])
                    and other not in self._inside.values()
                    and self._things[other].state in (None, "upright")
                ]
        if len(self._cell) <= 3:  # the world does not become empty
            found = [event for event in found if event[0] not in ("leaves", "put in")]
        return found

    def _act(
        self, kind: EventKind, thing: int, other: int | None, start_s: float, stop_s: float
    ) -> str:
        name = said(self._things[thing])
        keys = self._keys[thing]
        here = keys[-1].center
        if kind == "leaves":
            del self._cell[thing]
            assert here is not None
            keys += [Key(at_s=start_s, center=here), Key(at_s=stop_s, center=_outside(here))]
            keys.append(Key(at_s=stop_s, center=None))
            return f"{name} leaves"
        if kind == "put in":
            assert other is not None
            inside = self._keys[other][-1].center
            del self._cell[thing]
            self._inside[thing] = other
            keys += [
                Key(at_s=start_s, center=here),
                Key(at_s=stop_s, center=inside, scale=0.4),
                Key(at_s=stop_s, center=None),
            ]
            return f"{name} is put in {said(self._things[other])}"
        self._cell[thing] = cell = self._free_cell()
        there = _spot(self._random, cell, self._things[thing])
        self._was_there.add(thing)
        if kind == "taken":
            assert other is not None
            del self._inside[thing]
            keys.append(Key(at_s=start_s, center=self._keys[other][-1].center, scale=0.4))
            text = f"{name} is taken out of {said(self._things[other])}"
        elif kind == "moved":
            keys.append(Key(at_s=start_s, center=here))
            text = f"{name} is moved"
        else:
            keys.append(Key(at_s=start_s, center=_outside(there)))
            text = f"{name} {kind}"
        keys.append(Key(at_s=stop_s, center=there))
        return text

    def _free_cell(self) -> int:
        free = sorted(set(range(_CELLS * _CELLS)) - set(self._cell.values()))
        return free[int(self._random.integers(len(free)))]


def _cast(
    random: np.random.Generator, names: tuple[Name, ...], style: Style, *, least: int, most: int
) -> NamedScene:
    """Things of different names; one container is first where there is one."""
    scenes = NamedScenes(style=style, names=names, least=least, most=most)
    for _ in range(_TRIES):
        scene = scenes.draw(random)
        if scene is None:
            continue
        texts = [thing.name.text for thing in scene.things]
        if len(set(texts)) == len(texts):
            ordered = sorted(scene.things, key=lambda thing: not _is_container(thing))
            return replace(scene, things=tuple(ordered))
    raise ValueError(f"{len(names)} names: too few for {least} things that differ; give more")


def _is_container(thing: NamedThing) -> bool:
    return thing.name.category == "container"


def _sized(random: np.random.Generator, thing: NamedThing, scale: float = 1.0) -> NamedThing:
    size = float(random.uniform(_SMALLEST, _LARGEST)) * scale
    layer = 0 if _is_container(thing) else 1
    return replace(thing, placed=replace(thing.placed, size=size, layer=layer))


def _spot(random: np.random.Generator, cell: int, thing: NamedThing) -> Point:
    """A place in a cell of the world where the thing meets no other."""
    side = (1 - 2 * _MARGIN) / _CELLS
    slack = max(0.0, side - 1.1 * thing.placed.size) / 2
    x, y = (
        _MARGIN + side * (place + 0.5) + float(random.uniform(-slack, slack))
        for place in (cell % _CELLS, cell // _CELLS)
    )
    return x, y


def _outside(point: Point) -> Point:
    """The nearest place beside the world, left or right of it."""
    return (-0.3 if point[0] < 0.5 else 1.3), point[1]
