"""Scenes to learn masks from: things of any kind without regard to names, some twice, some cut off.

Nothing in them can be talked about. That is what `named_scenes` is for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mlcd.playroom.arrangement import arrange, random_sizes
from mlcd.playroom.renderer import RenderedScene, render
from mlcd.playroom.sampling import random_colour, random_ground, random_light
from mlcd.playroom.scenes import PlacedThing, Scene
from mlcd.playroom.things import Style, Thing

_SHAPES = ((1.0, 1.0), (4 / 3, 1.0), (1.0, 4 / 3))
_MOST_THINGS = 9
_TINTED_SHARE = 0.4
_TWIN_SHARE = 0.3
"""Share of the scenes in which one thing comes several times, so that it matters which is meant."""
_ZOOM_SHARE = 0.3
"""Share of the scenes that are seen from nearer, so that things are cut off at the edges."""


def mask_scene(
    random: np.random.Generator, things: Sequence[Thing], style: Style
) -> tuple[Scene, tuple[float, float]]:
    """A random scene, and its (width, height) in multiples of the shorter side."""
    shape = _SHAPES[int(random.integers(len(_SHAPES)))]
    count = int(random.integers(1, _MOST_THINGS + 1))
    cast = [things[int(number)] for number in random.integers(len(things), size=count)]
    if random.random() < _TWIN_SHARE:
        cast[: count // 2 + 1] = [cast[0]] * (count // 2 + 1)
    turns = [float(turn) for turn in random.normal(0, 25, count)]
    if random.random() < 0.5:
        turns = [float(turn) for turn in random.uniform(-180, 180, count)]
    spots = None
    while spots is None:
        sizes = random_sizes(random, count, num_large=1)
        spots = arrange(random, sizes, turns, shape, 1)
    is_tinted = random.random() < _TINTED_SHARE
    placed = [
        PlacedThing(
            thing=cast[index],
            style=style,
            center=(spot.x / shape[0], spot.y / shape[1]),
            size=spot.size,
            rotation_deg=turns[index],
            is_mirrored=bool(random.random() < 0.5),
            stretch=float(np.exp(random.normal(0, 0.15))),
            hue_shift=float(random.random()) if random.random() < 0.3 else 0.0,
            tint=random_colour(random) if is_tinted else None,
            layer=spot.layer,
        )
        for index, spot in sorted(spots.items())
    ]
    if random.random() < _ZOOM_SHARE:
        placed = _seen_from_nearer(random, placed)
    scene = Scene(
        things=tuple(placed),
        ground=random_ground(random),
        light=random_light(random),
        blur=float(abs(random.normal(0, 0.004))) if random.random() < 0.3 else 0.0,
        seed=int(random.integers(2**31)),
    )
    return scene, shape


def draw_mask_scene(
    random: np.random.Generator,
    things: Sequence[Thing],
    style: Style,
    *,
    longer: int | None = None,
    shorter: int | None = None,
    least_area: int,
) -> RenderedScene:
    """A scene of which at least one thing shows `least_area` pixels, drawn; those alone are kept.

    Either its longer or its shorter side is given, in pixels.
    """
    if (longer is None) == (shorter is None):
        raise ValueError(f"expected one side, got longer {longer} and shorter {shorter}")
    while True:
        scene, shape = mask_scene(random, things, style)
        unit = shorter if longer is None else longer / max(shape)
        assert unit is not None
        drawn = render(scene, round(unit * shape[0]), round(unit * shape[1]))
        seen = tuple(thing for thing in drawn.things if int(thing.mask.sum()) >= least_area)
        if seen:
            return replace(drawn, things=seen)


def _seen_from_nearer(
    random: np.random.Generator, placed: Sequence[PlacedThing]
) -> list[PlacedThing]:
    zoom, (x, y) = random.uniform(1.1, 1.7), random.random(2)
    return [
        replace(
            thing,
            size=thing.size * zoom,
            center=(
                float(x + (thing.center[0] - x) * zoom),
                float(y + (thing.center[1] - y) * zoom),
            ),
        )
        for thing in placed
    ]
