"""A picture as one who points at its things sees it: where they are and how they stand to others.

Geometry is that of the visible pixels. A `Fit` tells what is so beyond doubt from what may be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlcd.core.masks import mask_box
from mlcd.playroom.descriptions import Description, Fit, descriptions, fit
from mlcd.playroom.relations import PLACES, Sight

EDGES = {"left": (0, 1), "right": (0, -1), "top": (1, 1), "bottom": (1, -1)}
"""Axis, and the sign that makes the outermost the smallest."""
SIDES = {
    "to the left of": (0, -1),
    "to the right of": (0, 1),
    "above": (1, -1),
    "below": (1, 1),
}
"""Axis, and the sign that makes what is on that side greater."""
_CELL_MARGIN, _HALF_MARGIN = 0.05, 0.06  # shares of the picture's side
_SIDE_DISTANCE, _SIDE_SLOPE, _NOT_THERE = 0.15, 1.5, -0.04
_HIDES = 0.1  # share of a thing that another clearly hides


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """A picture with what can be said of single things, and where one sees them."""

    sight: Sight
    descriptions: Sequence[Description]
    centers: Sequence[tuple[float, float]]
    """x, y of the middle of what is seen, in shares of the picture's shorter side."""
    boxes: Sequence[tuple[float, float, float, float]]
    """xyxy around what is seen, in the same unit."""
    areas: Sequence[int]
    """Visible pixels."""

    def is_nameable(self, targets: frozenset[int]) -> bool:
        return all(self.sight.things[i].is_nameable for i in targets)


def look(sight: Sight) -> View:
    """What pointing needs to know of a picture."""
    shortest = min(sight.masks[0].shape)
    found = [mask_box(mask) for mask in sight.masks]
    boxes = [
        (b[0] / shortest, b[1] / shortest, b[2] / shortest, b[3] / shortest) for b in found if b
    ]
    assert len(boxes) == len(found), "a Sight shows some of each of its things"
    return View(
        sight=sight,
        descriptions=descriptions(sight),
        centers=[((x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in boxes],
        boxes=boxes,
        areas=[int(mask.sum()) for mask in sight.masks],
    )


def fit_of_relation(view: View, relation: str, landmark: int) -> Fit:
    """What stands so to the landmark; `relation` is a word of `beside` or `depth`."""
    verdict: Callable[[int], bool | None]
    if relation in SIDES:
        axis, sign = SIDES[relation]

        def verdict(index: int) -> bool | None:
            return _is_beside(view, index, landmark, axis, sign)
    else:

        def verdict(index: int) -> bool | None:
            pair = (index, landmark) if relation == "in front of" else (landmark, index)
            share = view.sight.hiding.get(pair, 0.0)
            return True if share >= _HIDES else None if share > 0 else False

    return fit(index != landmark and verdict(index) for index in range(len(view.centers)))


def _is_beside(view: View, index: int, landmark: int, axis: int, sign: int) -> bool | None:
    """Clearly to that side and not overlapping; clearly not, when it is on the other half."""
    along = sign * (view.centers[index][axis] - view.centers[landmark][axis])
    across = abs(view.centers[index][1 - axis] - view.centers[landmark][1 - axis])
    if along < _NOT_THERE:
        return False
    is_far = along >= max(_SIDE_DISTANCE, _SIDE_SLOPE * across)
    return True if is_far and not _overlap(view.boxes[index], view.boxes[landmark]) else None


def fit_of_place(view: View, place: str) -> Fit:
    """What is in that ninth of the picture, one of `PLACES`."""
    row, column = divmod(PLACES.index(place), 3)
    return fit(
        _all_true(
            _is_in_third(center[0] / view.sight.scene.shape[0], column),
            _is_in_third(center[1] / view.sight.scene.shape[1], row),
        )
        for center in view.centers
    )


def fit_of_half(view: View, half: str) -> Fit:
    """What is on that half of the picture, with its middle well past the middle."""
    axis, sign = EDGES[half]
    side = view.sight.scene.shape[axis]
    away = [sign * (0.5 - center[axis] / side) for center in view.centers]
    return fit(True if a > _HALF_MARGIN else False if a < -_HALF_MARGIN else None for a in away)


def _is_in_third(share: float, third: int) -> bool | None:
    inside = min(share - third / 3, (third + 1) / 3 - share)
    if (third == 0 and share < 1 / 6) or (third == 2 and share > 5 / 6):
        inside = 1 / 6  # towards the border there is no other third
    return True if inside > _CELL_MARGIN else False if inside < -_CELL_MARGIN else None


def _all_true(*verdicts: bool | None) -> bool | None:
    return False if False in verdicts else None if None in verdicts else True


def _overlap(
    first: tuple[float, float, float, float], second: tuple[float, float, float, float]
) -> bool:
    return min(first[2], second[2]) > max(first[0], second[0]) and min(first[3], second[3]) > max(
        first[1], second[1]
    )
