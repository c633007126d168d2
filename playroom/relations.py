"""What a picture shows of where things are: places, sides, what hides what; nothing in between.

Each of these says None, or nothing, where two people could see it differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal, get_args

import numpy as np

from mlcd.core.images import Image
from mlcd.core.masks import Mask
from mlcd.playroom.arrangement import NAMEABLE
from mlcd.playroom.named_scenes import NamedScene, NamedThing
from mlcd.playroom.renderer import VisibleThing, render

Side = Literal["left", "right", "above", "below"]
SIDES: tuple[Side, ...] = get_args(Side)
OPPOSITE: dict[Side, Side] = {"left": "right", "right": "left", "above": "below", "below": "above"}

PLACES = tuple(
    "middle" if (row, column) == ("middle", "middle") else f"{row} {column}"
    for row in ("top", "middle", "bottom")
    for column in ("left", "middle", "right")
)
"""The ninths of a picture, row by row."""

LEAST_VISIBLE = 0.6
"""Share of a thing that has to be seen: a scene that hides more of one is not used."""
_HIDES, _TOUCHES = 0.1, 0.02
"""Shares of a thing that another hides: it is in front of it; somebody might say so."""
_CELL_MARGIN = 0.05
_INTRUSION = 0.3
_SIDE_DISTANCE, _SIDE_SLOPE = 0.15, 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenThing:
    """A thing as it stands in a picture; lengths are shares of the picture's sides."""

    index: int
    named: NamedThing
    visible_share: float
    box: tuple[float, float, float, float]
    """x0, y0, x1, y1 of all of it, what others hide included."""
    area: int
    """Pixels of all of it."""
    place: str | None
    """One of `PLACES`; None where it is too close to two of them."""
    owns_place: bool
    """Whether nothing else could be meant by the thing at its place."""

    @property
    def center(self) -> tuple[float, float]:
        x0, y0, x1, y1 = self.box
        return (x0 + x1) / 2, (y0 + y1) / 2

    @property
    def is_nameable(self) -> bool:
        """Whether it is large enough to tell what it is."""
        return self.named.placed.size >= NAMEABLE


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sight:
    """A picture and everything that may be asked of it."""

    scene: NamedScene
    image: Image
    things: tuple[SeenThing, ...]
    masks: tuple[Mask, ...]
    """The visible pixels of each thing, bool (H, W)."""
    hiding: dict[tuple[int, int], float]
    """Of pairs (front, back): which share of the second the first hides, where it hides any."""

    def only_partner(self, index: int, *, is_front: bool) -> SeenThing | None:
        """The one thing that clearly hides this one, or that it clearly hides; None of several."""
        pairs = [
            (other, share)
            for (front, back), share in self.hiding.items()
            for this, other in [(back, front) if is_front else (front, back)]
            if this == index and share >= _TOUCHES
        ]
        if len(pairs) == 1 and pairs[0][1] >= _HIDES:
            return self.things[pairs[0][0]]
        return None


def see(scene: NamedScene, size: int) -> Sight | None:
    """The scene drawn with `size` pixels on its shorter side; None when it hides a thing."""
    width, height = (round(size * side) for side in scene.shape)
    rendered = render(scene.scene, width, height)
    drawn = rendered.things
    areas = [int(thing.whole.sum()) for thing in drawn]
    visible = [int(thing.mask.sum()) for thing in drawn]
    if any(seen < max(1, LEAST_VISIBLE * area) for seen, area in zip(visible, areas, strict=True)):
        return None
    boxes = [_box(thing, width, height) for thing in drawn]
    places = [_place(box) for box in boxes]
    things = tuple(
        SeenThing(
            index=index,
            named=named,
            visible_share=visible[index] / areas[index],
            box=boxes[index],
            area=areas[index],
            place=places[index],
            owns_place=_owns_place(index, boxes, places[index], drawn),
        )
        for index, named in enumerate(scene.things)
    )
    hiding = {
        (front, back): int((drawn[front].mask & drawn[back].whole).sum()) / areas[back]
        for front, back in permutations(range(len(drawn)), 2)
        if _overlap(boxes[front], boxes[back])
    }
    return Sight(
        scene=scene,
        image=rendered.image,
        things=things,
        masks=tuple(thing.mask for thing in drawn),
        hiding=hiding,
    )


def side_of(thing: SeenThing, other: SeenThing, shape: tuple[float, float]) -> Side | None:
    """On which side of `other` the thing is; None when it is on two, too close, or overlaps."""
    if _overlap(thing.box, other.box):
        return None
    dx = (thing.center[0] - other.center[0]) * shape[0]
    dy = (thing.center[1] - other.center[1]) * shape[1]
    if abs(dx) >= max(_SIDE_DISTANCE, _SIDE_SLOPE * abs(dy)):
        return "right" if dx > 0 else "left"
    if abs(dy) >= max(_SIDE_DISTANCE, _SIDE_SLOPE * abs(dx)):
        return "below" if dy > 0 else "above"
    return None


def only_one_on_side(
    other: SeenThing, side: Side, things: Sequence[SeenThing], shape: tuple[float, float]
) -> SeenThing | None:
    """The thing on that side of `other` when all the rest lies on its opposite half."""
    axis = 0 if side in ("left", "right") else 1
    sign = 1 if side in ("right", "below") else -1
    ahead = [
        thing
        for thing in things
        if thing is not other and sign * (thing.center[axis] - other.center[axis]) > -0.04
    ]
    if len(ahead) == 1 and side_of(ahead[0], other, shape) == side:
        return ahead[0]
    return None


def _box(thing: VisibleThing, width: int, height: int) -> tuple[float, float, float, float]:
    rows, columns = np.flatnonzero(thing.whole.any(1)), np.flatnonzero(thing.whole.any(0))
    return (
        float(columns[0] / width),
        float(rows[0] / height),
        float((columns[-1] + 1) / width),
        float((rows[-1] + 1) / height),
    )


def _place(box: tuple[float, float, float, float]) -> str | None:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    for line in (1 / 3, 2 / 3):
        if abs(x - line) < _CELL_MARGIN or abs(y - line) < _CELL_MARGIN:
            return None
    return PLACES[3 * int(3 * y) + int(3 * x)]


def _owns_place(
    index: int,
    boxes: Sequence[tuple[float, float, float, float]],
    place: str | None,
    drawn: Sequence[VisibleThing],
) -> bool:
    if place is None:
        return False
    row, column = divmod(PLACES.index(place), 3)
    height, width = drawn[index].mask.shape
    rows = slice(row * height // 3, (row + 1) * height // 3)
    columns = slice(column * width // 3, (column + 1) * width // 3)
    own = int(drawn[index].mask[rows, columns].sum())
    for other, box in enumerate(boxes):
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        is_close = (
            column / 3 - _CELL_MARGIN <= x <= (column + 1) / 3 + _CELL_MARGIN
            and row / 3 - _CELL_MARGIN <= y <= (row + 1) / 3 + _CELL_MARGIN
        )
        intrudes = int(drawn[other].mask[rows, columns].sum()) > _INTRUSION * own
        if other != index and (is_close or intrudes):
            return False
    return True


def _overlap(
    first: tuple[float, float, float, float], second: tuple[float, float, float, float]
) -> bool:
    return min(first[2], second[2]) > max(first[0], second[0]) and min(first[3], second[3]) > max(
        first[1], second[1]
    )
