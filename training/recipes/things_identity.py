"""Changes that make new identities out of the things there are.

A thing that is turned, recoloured, stretched, seen from near or with others beside it is another
thing to tell apart. Both styles get the same change, so a tower that only learned the training
things by heart does not find the partner: it must see what the two drawings have in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mlcd.playroom.scenes import PlacedThing, Scene
from mlcd.playroom.things import Style, Thing


@dataclass(frozen=True, kw_only=True, slots=True)
class Companion:
    """Another thing in the picture; place and size as in `PlacedThing`."""

    thing: Thing
    center: tuple[float, float]
    size: float
    rotation_deg: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What both pictures of a pair do to their thing; the default does nothing."""

    turn_deg: float = 0.0
    is_flipped: bool = False
    hue_shift: float = 0.0
    stretch: float = 1.0
    zoom: float = 1.0
    focus: tuple[float, float] = (0.0, 0.0)
    """What stands in the middle, from the middle of the thing, as a share of its side."""
    companions: tuple[Companion, ...] = ()

    def applied(self, scene: Scene, style: Style) -> Scene:
        """`scene`, whose one thing is changed and whose companions are drawn in `style`."""
        (thing,) = scene.things
        size = thing.size * self.zoom
        x, y = (c - f * size for c, f in zip(thing.center, self.focus, strict=True))
        changed = replace(
            thing,
            center=(x, y),
            size=size,
            rotation_deg=thing.rotation_deg + self.turn_deg,
            is_flipped=self.is_flipped,
            hue_shift=thing.hue_shift + self.hue_shift,
            stretch=self.stretch,
        )
        companions = tuple(
            PlacedThing(
                thing=companion.thing,
                style=style,
                center=companion.center,
                size=companion.size,
                rotation_deg=companion.rotation_deg,
                hue_shift=thing.hue_shift + self.hue_shift,
                layer=1,
            )
            for companion in self.companions
        )
        return replace(scene, things=(changed, *companions))


def random_change(random: np.random.Generator, things: Sequence[Thing]) -> Change:
    """A change of one or several kinds; companions are drawn from `things`."""
    turns, shifts, stretches, zooms, has_companions = random.random(5) < (0.3, 0.5, 0.35, 0.2, 0.3)
    return Change(
        turn_deg=float(random.uniform(0, 360)) if turns else 0.0,
        is_flipped=bool(turns and random.random() < 0.3),
        hue_shift=float(random.uniform(0.12, 0.88)) if shifts else 0.0,
        stretch=float(np.exp(random.uniform(-0.7, 0.7))) if stretches else 1.0,
        zoom=float(random.uniform(1.3, 2.2)) if zooms else 1.0,
        focus=_pair(random.uniform(-0.25, 0.25, 2)) if zooms else (0.0, 0.0),
        companions=tuple(
            Companion(
                thing=things[int(random.integers(len(things)))],
                center=_pair(random.uniform(0.1, 0.9, 2)),
                size=float(random.uniform(0.3, 0.6)),
                rotation_deg=float(random.normal(0, 20)),
            )
            for _ in range(int(random.integers(1, 3)) if has_companions else 0)
        ),
    )


def _pair(values: np.ndarray) -> tuple[float, float]:
    return float(values[0]), float(values[1])
