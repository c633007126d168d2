"""Where the things of a scene stand: sizes and spots, some of them hiding a part of another.

Lengths here are multiples of the picture's shorter side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SMALLEST, NAMEABLE, LARGEST = 0.04, 0.14, 0.6
"""Sides of things; from `NAMEABLE` on one can tell what a thing is."""

_SMALL_SHARE = 0.35
"""Share of the scenes in which one or two things are smaller than that."""
_HIDING_SHARE = 0.25
"""Share of the things that are put partly in front of or behind another."""
_TRIES = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Spot:
    """Middle, side and layer of one thing."""

    x: float
    y: float
    size: float
    layer: int


def random_sizes(random: np.random.Generator, count: int, *, num_large: int) -> list[float]:
    """Sides of `count` things; the first `num_large` are large enough to be named."""
    if count == 1:
        return [float(random.uniform(0.25, LARGEST))]
    largest = LARGEST * min(1.0, (3 / count) ** 0.45)
    sizes = _log_uniform(random, NAMEABLE + 0.01, largest, count)
    if random.random() < _SMALL_SHARE:
        num_small = min(int(random.integers(1, 3)), count - num_large - 1)
        if num_small > 0:
            sizes[-num_small:] = _log_uniform(random, SMALLEST, NAMEABLE, num_small)
    return sizes


def arrange(
    random: np.random.Generator,
    sizes: Sequence[float],
    turns_deg: Sequence[float],
    shape: tuple[float, float],
    least: int,
) -> dict[int, Spot] | None:
    """Spots of the things by their number, the largest placed first.

    What finds no room is made smaller, then left out; None when fewer than `least` are left.
    """
    layers = random.permutation(len(sizes))
    spots: dict[int, Spot] = {}
    for index in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        size, floor = sizes[index], NAMEABLE if sizes[index] >= NAMEABLE else SMALLEST
        while size >= floor:
            found = _find(random, size, turns_deg[index], shape, spots)
            if found is not None:
                x, y = found
                spots[index] = Spot(x=x, y=y, size=size, layer=int(layers[index]))
                break
            size *= 0.85
    return spots if len(spots) >= least else None


def _find(
    random: np.random.Generator,
    size: float,
    turn_deg: float,
    shape: tuple[float, float],
    spots: dict[int, Spot],
) -> tuple[float, float] | None:
    """A place inside the picture where the thing meets no other, or one other on purpose."""
    angle = math.radians(turn_deg)
    reach = size / 2 * (abs(math.cos(angle)) + abs(math.sin(angle)))
    others = list(spots.values())
    large = [spot for spot in others if spot.size >= NAMEABLE]
    partner = None
    if size >= NAMEABLE and large and random.random() < _HIDING_SHARE:
        partner = large[int(random.integers(len(large)))]
    for _ in range(_TRIES):
        if partner is None:
            x, y = (_somewhere(random, side) for side in shape)
        else:
            angle = random.uniform(0, 2 * math.pi)
            away = (size + partner.size) / 2 * random.uniform(0.55, 0.75)
            x, y = partner.x + away * math.cos(angle), partner.y + away * math.sin(angle)
        if not (reach <= x <= shape[0] - reach and reach <= y <= shape[1] - reach):
            if partner is not None:
                continue
            x, y = (
                min(max(value, reach), side - reach)
                for value, side in zip((x, y), shape, strict=True)
            )
        if all(
            spot is partner or math.dist((x, y), (spot.x, spot.y)) > 0.5 * (size + spot.size)
            for spot in others
        ):
            return x, y
    return None


def _somewhere(random: np.random.Generator, side: float) -> float:
    """A coordinate in one of three thirds, seldom close to where they meet."""
    return side * (int(random.integers(3)) + float(random.uniform(0.15, 0.85))) / 3


def _log_uniform(random: np.random.Generator, least: float, most: float, count: int) -> list[float]:
    return [float(v) for v in np.exp(random.uniform(math.log(least), math.log(most), count))]
