"""Places: grounds with things scattered over them, each seen through two windows side by side.

They teach colour and texture, which single things on white do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mlcd.playroom.renderer import render
from mlcd.playroom.sampling import random_ground, random_light
from mlcd.playroom.scenes import PlacedThing, Scene
from mlcd.playroom.things import STYLES, Thing


def random_place(random: np.random.Generator, things: Sequence[Thing]) -> Scene:
    """A rendered ground with up to six things anywhere on it, in plain light."""
    return Scene(things=scattered(random, things, most=6), ground=random_ground(random))


def scattered(
    random: np.random.Generator, things: Sequence[Thing], *, most: int
) -> tuple[PlacedThing, ...]:
    """Up to `most` of the things anywhere, in any colour, size and turn."""
    return tuple(
        PlacedThing(
            thing=things[int(random.integers(len(things)))],
            style=STYLES[int(random.integers(2))],
            center=(float(random.random()), float(random.random())),
            size=float(random.uniform(0.15, 0.8)),
            rotation_deg=float(random.uniform(0, 360)),
            hue_shift=float(random.random()),
        )
        for _ in range(int(random.integers(0, most + 1)))
    )


def relit(place: Scene, random: np.random.Generator) -> Scene:
    """The place in another, nearly equal light."""
    return replace(place, light=random_light(random, 0.2))


def two_windows(left: Scene, right: Scene, size: int) -> NDArray[np.uint8]:
    """The left window of one scene and the right one of another: (2, size, size, 3)."""
    return np.stack(
        [
            render(scene, 2 * size, size).image[:, start : start + size]
            for scene, start in ((left, 0), (right, size))
        ]
    )
