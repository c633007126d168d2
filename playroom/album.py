"""Pictures without names: an endless album, each with a plain sight and any number of other views.

What a picture shows (a few things, or a place) follows from its number alone. Clustering looks at
the plain sight, training at the other views: on another ground, in another light, moved and turned
a little. Only training things are in it, and nothing in it says which.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlcd.core.images import Image
from mlcd.playroom.renderer import render
from mlcd.playroom.sampling import WHITE, random_ground, random_light, random_single_scene
from mlcd.playroom.scenes import Ground, Light, PlacedThing, Scene
from mlcd.playroom.things import STYLES, Style, Thing, training_things

PLAIN, VIEW = 0, 1
"""Streams of random numbers: what a picture is, and how one view of it differs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Album:
    """Picture `i` is a pure function of (`seed`, i), and its view `v` of (`seed`, i, v)."""

    seed: int = 0
    place_share: float = 0.08
    """Share of the pictures that show a place: a ground with things scattered over it."""
    crowd_share: float = 0.3
    """Share of the others that show two to four things, and not a single one."""
    changed_share: float = 0.35
    """Share of the single things that are recoloured, turned or flipped."""
    white_share: float = 0.5
    """Share of the views on white ground."""
    variation: float = 0.5
    """How much place, size, turn and light of a view differ from the plain sight."""

    def plain(self, index: int, size: int) -> Image:
        """The plain sight of a picture, uint8 (size, size, 3): things lie on white."""
        random = np.random.default_rng((self.seed, PLAIN, index))
        if random.random() < self.place_share:
            return _window(_place(random), Light(), left=True, size=size)
        things = self._things(random)
        return render(Scene(things=things), size, size).image

    def view(self, index: int, number: int, size: int) -> Image:
        """Another view of a picture, uint8 (size, size, 3)."""
        what = np.random.default_rng((self.seed, PLAIN, index))
        how = np.random.default_rng((self.seed, VIEW, index, number))
        if what.random() < self.place_share:
            place, light = _place(what), random_light(how, self.variation)
            return _window(place, light, left=bool(how.random() < 0.5), size=size)
        things = self._things(what)
        ground = WHITE if how.random() < self.white_share else random_ground(how)
        if len(things) == 1:
            scene = self._moved(things[0], how, ground)
        else:
            scene = self._stirred(things, how, ground)
        return render(scene, size, size).image

    def things(self, index: int) -> tuple[PlacedThing, ...]:
        """What is in a picture; empty for a place. For measuring: training never asks."""
        random = np.random.default_rng((self.seed, PLAIN, index))
        return () if random.random() < self.place_share else self._things(random)

    def _things(self, random: np.random.Generator) -> tuple[PlacedThing, ...]:
        if random.random() < self.crowd_share:
            return _crowd(random)
        thing, style = _any_thing(random), _any_style(random)
        turn_deg, hue_shift, is_flipped = 0.0, 0.0, False
        if random.random() < self.changed_share:
            hue_shift = float(random.uniform(0.12, 0.88)) if random.random() < 0.6 else 0.0
            if hue_shift == 0.0 or random.random() < 0.3:
                turn_deg = float(random.choice([0, 90, 180, 270]))
                is_flipped = bool(random.random() < 0.3)
        return (
            PlacedThing(
                thing=thing,
                style=style,
                rotation_deg=turn_deg,
                hue_shift=hue_shift,
                is_flipped=is_flipped,
            ),
        )

    def _moved(self, placed: PlacedThing, random: np.random.Generator, ground: Ground) -> Scene:
        return random_single_scene(
            placed.thing,
            placed.style,
            random,
            ground=ground,
            variation=self.variation,
            turn_deg=placed.rotation_deg,
            hue_shift=placed.hue_shift,
            is_flipped=placed.is_flipped,
        )

    def _stirred(
        self, things: tuple[PlacedThing, ...], random: np.random.Generator, ground: Ground
    ) -> Scene:
        """The things of a crowd, each a little elsewhere, the whole mirrored now and then."""
        is_mirrored = bool(random.random() < 0.5)
        stirred: list[PlacedThing] = []
        for placed in things:
            x, y = placed.center + self.variation * random.uniform(-0.06, 0.06, 2)
            stirred.append(
                PlacedThing(
                    thing=placed.thing,
                    style=placed.style,
                    center=(float(1 - x if is_mirrored else x), float(y)),
                    size=placed.size * float(np.exp(self.variation * random.normal(0, 0.15))),
                    rotation_deg=self.variation * float(random.normal(0, 10)),
                    hue_shift=placed.hue_shift,
                )
            )
        return Scene(
            things=tuple(stirred),
            ground=ground,
            light=random_light(random, self.variation),
            seed=int(random.integers(2**31)),
        )


def _any_thing(random: np.random.Generator) -> Thing:
    things = training_things()
    return things[int(random.integers(len(things)))]


def _any_style(random: np.random.Generator) -> Style:
    return STYLES[int(random.integers(len(STYLES)))]


def _crowd(random: np.random.Generator) -> tuple[PlacedThing, ...]:
    """Two to four things in quarters of the picture of their own."""
    quarters = random.permutation([(0.28, 0.28), (0.72, 0.28), (0.28, 0.72), (0.72, 0.72)])
    return tuple(
        PlacedThing(
            thing=_any_thing(random),
            style=_any_style(random),
            center=(float(x), float(y)),
            size=float(random.uniform(0.36, 0.5)),
        )
        for x, y in quarters[: int(random.integers(2, 5))]
    )


def _place(random: np.random.Generator) -> Scene:
    """A ground, twice as wide as high, with things scattered over it."""
    things = tuple(
        PlacedThing(
            thing=_any_thing(random),
            style=_any_style(random),
            center=(float(random.random()), float(random.random())),
            size=float(random.uniform(0.15, 0.8)),
            rotation_deg=float(random.uniform(0, 360)),
            hue_shift=float(random.random()),
        )
        for _ in range(int(random.integers(0, 8)))
    )
    return Scene(things=things, ground=random_ground(random))


def _window(place: Scene, light: Light, *, left: bool, size: int) -> Image:
    """One of the two windows of a place."""
    scene = Scene(things=place.things, ground=place.ground, light=light)
    drawn = render(scene, 2 * size, size).image
    return drawn[:, :size] if left else drawn[:, size:]
