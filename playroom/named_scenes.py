"""Scenes that one can talk about: several things with names, colours and ways to lie.

Either all things of a scene are tinted, each in a colour with a name, or all keep their own
colours, of which nobody is asked. Two names that could be taken for each other never meet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from mlcd.playroom.arrangement import arrange, random_sizes
from mlcd.playroom.names import Name
from mlcd.playroom.sampling import random_ground, random_light
from mlcd.playroom.scenes import Colour, Ground, PlacedThing, Scene
from mlcd.playroom.things import Style
from mlcd.playroom.tints import NAMED_COLOURS

State = Literal["upright", "tilted", "on its side", "upside down"]
STATES: tuple[State, ...] = get_args(State)

_SHAPES = ((1.0, 1.0), (1.0, 1.0), (4 / 3, 1.0), (1.0, 4 / 3))
_UPRIGHT_SHARE = 0.55
_LEAST_CONTRAST = 90.0
"""Distance in RGB that a colour keeps from every colour of the ground."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedThing:
    """One thing in a scene, and what can be said of it."""

    name: Name
    colour: str | None
    """One of `NAMED_COLOURS`; None where it has its own colours."""
    state: State | None
    """None for a thing without a clear upright."""
    placed: PlacedThing


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedScene:
    """A scene with the names of its things, in the scene's order."""

    scene: Scene
    things: tuple[NamedThing, ...]
    shape: tuple[float, float]
    """Width and height, in multiples of the shorter side."""

    @property
    def is_natural(self) -> bool:
        """Whether the things have their own colours, so that no colour has a name."""
        return all(thing.colour is None for thing in self.things)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """A thing that has to be in the scene, large enough to be named."""

    name: Name
    colour: str | None = None
    state: State | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedScenes:
    """What scenes are drawn from: one style, some names, and how many things."""

    style: Style
    names: tuple[Name, ...]
    least: int = 3
    most: int = 8
    natural_share: float = 0.3

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most:
            raise ValueError(
                f"expected 1 <= least <= most things, got {self.least} and {self.most}"
            )

    def draw(self, random: np.random.Generator, wishes: Sequence[Wish] = ()) -> NamedScene | None:
        """A random scene with the wished things in it; None when they found no room this time."""
        count = max(int(random.integers(self.least, self.most + 1)), len(wishes))
        ground = _quiet_ground(random)
        colours = [name for name, tint in NAMED_COLOURS.items() if stands_out(tint, ground)]
        is_natural = random.random() < self.natural_share and not any(w.colour for w in wishes)
        if any(wish.colour not in (None, *colours) for wish in wishes):
            return None
        cast = self._cast(random, count, [] if is_natural else colours, wishes)
        shape = _SHAPES[int(random.integers(len(_SHAPES)))]
        states = [_random_state(random, name) for name, _ in cast]
        states[: len(wishes)] = [
            wish.state or state for wish, state in zip(wishes, states, strict=False)
        ]
        turns = [_turn_deg(random, state) for state in states]
        spots = arrange(
            random, random_sizes(random, len(cast), num_large=len(wishes)), turns, shape, self.least
        )
        if spots is None or any(index not in spots for index in range(len(wishes))):
            return None
        things: list[NamedThing] = []
        for index, spot in sorted(spots.items()):
            name, colour = cast[index]
            placed = PlacedThing(
                thing=name.thing,
                style=self.style,
                center=(spot.x / shape[0], spot.y / shape[1]),
                size=spot.size,
                rotation_deg=turns[index],
                is_mirrored=bool(random.random() < 0.5),
                tint=NAMED_COLOURS[colour] if colour else None,
                layer=spot.layer,
            )
            things.append(NamedThing(name=name, colour=colour, state=states[index], placed=placed))
        scene = Scene(
            things=tuple(thing.placed for thing in things),
            ground=ground,
            light=random_light(random, 0.5),
            seed=int(random.integers(2**31)),
        )
        return NamedScene(scene=scene, things=tuple(things), shape=shape)

    def _cast(
        self,
        random: np.random.Generator,
        count: int,
        colours: Sequence[str],
        wishes: Sequence[Wish],
    ) -> list[tuple[Name, str | None]]:
        """Names and colours. Half of the scenes have a theme, so that there is more to count."""
        names = [wish.name for wish in wishes]
        theme = random.random()
        repeated = int(random.integers(2, 6))
        if theme < 0.2 and count > len(names):
            names += [self._any_name(random, names)] * min(repeated - 1, count - len(names))
        same_category = theme < 0.4
        while len(names) < count:
            is_themed = same_category and names and len(names) < repeated
            names.append(self._any_name(random, names, names[-1].category if is_themed else None))
        tints: list[str | None] = [None] * count
        if colours:
            tints = [colours[int(random.integers(len(colours)))] for _ in range(count)]
            if theme > 0.7:
                for index in random.permutation(count)[:repeated]:
                    tints[int(index)] = tints[0]
            for index, wish in enumerate(wishes):
                tints[index] = wish.colour or tints[index]
        return list(zip(names, tints, strict=True))

    def _any_name(
        self, random: np.random.Generator, taken: Sequence[Name], category: str | None = None
    ) -> Name:
        """A name that no taken one could be confused with, of `category` when there is one."""
        barred = {name.text for name in taken}.union(*(name.lookalikes for name in taken))
        free = [name for name in self.names if name.text not in barred]
        liked = [name for name in free if name.category == category] or free
        return liked[int(random.integers(len(liked)))]


def _random_state(random: np.random.Generator, name: Name) -> State | None:
    if not name.has_upright:
        return None
    if random.random() < _UPRIGHT_SHARE:
        return "upright"
    return STATES[int(random.integers(1, len(STATES)))]


def _turn_deg(random: np.random.Generator, state: State | None) -> float:
    """How far a thing is turned, so that no one could take one state for another."""
    side = -1.0 if random.random() < 0.5 else 1.0
    wobble = float(np.clip(random.normal(0, 4), -8, 8))
    if state is None:
        return 2 * wobble
    turns = {
        "upright": 0.0,
        "tilted": 45.0 * side,
        "on its side": 90.0 * side,
        "upside down": 180.0,
    }
    return turns[state] + wobble


def _quiet_ground(random: np.random.Generator) -> Ground:
    """A ground of pale or of dark colours, from which things stand out."""
    ground = random_ground(random)
    is_pale = random.random() < 0.75
    return replace(ground, colours=tuple(_quiet(colour, is_pale) for colour in ground.colours))


def _quiet(colour: Colour, is_pale: bool) -> Colour:
    grey = sum(colour) / 3
    muted = (grey + 0.3 * (channel - grey) for channel in colour)
    red, green, blue = (255 - 0.4 * (255 - c) if is_pale else 0.35 * c for c in muted)
    return round(red), round(green), round(blue)


def stands_out(tint: Colour, ground: Ground) -> bool:
    """Whether a thing of this colour is easily seen on the ground."""
    return all(math.dist(tint, colour) >= _LEAST_CONTRAST for colour in ground.colours)
