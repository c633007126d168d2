"""Random grounds, lights and places: what varies between two pictures of one thing.

Everything is drawn from the generator that the caller passes, so a seed gives the same scenes.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlcd.playroom.scenes import Colour, Ground, GroundKind, Light, PlacedThing, Scene
from mlcd.playroom.things import Style, Thing

WHITE = Ground()
_RENDERED: tuple[GroundKind, ...] = ("plain", "gradient", "stripes", "checks", "noise", "patches")
_WEIGHTS = (0.15, 0.15, 0.1, 0.1, 0.35, 0.15)


def random_colour(random: np.random.Generator) -> Colour:
    """One colour, evenly over hue, with greys and pale and dark ones among them."""
    hue, saturation, value = random.random(), random.beta(1, 1.3), random.beta(2, 1.2)
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def random_ground(random: np.random.Generator) -> Ground:
    """A rendered ground of any kind."""
    kind = _RENDERED[random.choice(len(_RENDERED), p=_WEIGHTS)]
    count = 1 if kind == "plain" else int(random.integers(2, 6))
    return Ground(
        kind=kind,
        colours=tuple(random_colour(random) for _ in range(count)),
        scale=float(np.exp(random.uniform(np.log(0.05), np.log(0.6)))),
        angle_deg=float(random.uniform(0, 180)),
        seed=int(random.integers(2**31)),
    )


def random_photo_ground(random: np.random.Generator, photos: Sequence[Path]) -> Ground:
    """A random square-ish window of one of `photos`, a third to nine tenths of its sides."""
    if not photos:
        raise ValueError("a photographed ground needs at least one photograph, got none")
    side = random.uniform(0.33, 0.9)
    x, y = random.uniform(0, 1 - side, 2)
    return Ground(
        kind="photo",
        photo=photos[int(random.integers(len(photos)))],
        window=(float(x), float(y), float(x + side), float(y + side)),
    )


def random_light(random: np.random.Generator, strength: float = 1.0) -> Light:
    """A light that differs from the plain one by about `strength` (0 leaves it plain)."""
    return Light(
        brightness=float(np.exp(strength * random.normal(0, 0.12))),
        contrast=float(np.exp(strength * random.normal(0, 0.12))),
        warmth=float(strength * random.normal(0, 0.05)),
        slope=float(strength * abs(random.normal(0, 0.2))),
        slope_deg=float(random.uniform(0, 360)),
        noise=float(strength * abs(random.normal(0, 4))) if random.random() < 0.3 else 0.0,
    )


def random_single_scene(
    thing: Thing,
    style: Style,
    random: np.random.Generator,
    *,
    ground: Ground,
    variation: float = 1.0,
    turn_deg: float = 0.0,
    hue_shift: float = 0.0,
    is_flipped: bool = False,
) -> Scene:
    """One thing on `ground`, turned, recoloured and flipped as told.

    Its place, size, turn, light and blur vary by about `variation`; with 0 they do not.
    """
    side = float(0.8 + variation * random.uniform(-0.2, 0.2))
    slack = variation * (1.1 - side) / 2
    x, y = 0.5 + random.uniform(-slack, slack, 2)
    placed = PlacedThing(
        thing=thing,
        style=style,
        center=(float(x), float(y)),
        size=side,
        rotation_deg=turn_deg + float(variation * random.normal(0, 6)),
        is_mirrored=bool(random.random() < 0.25 * variation),
        is_flipped=is_flipped,
        hue_shift=hue_shift + float(variation * random.normal(0, 0.015)),
    )
    is_blurred = random.random() < 0.3 * variation
    return Scene(
        things=(placed,),
        ground=ground,
        light=random_light(random, variation),
        blur=float(abs(random.normal(0, 0.008))) if is_blurred else 0.0,
        seed=int(random.integers(2**31)),
    )
