"""Sizes to choose from are read in every published way, and the choice is the published one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest

from mlcd.core.language.pinpoints import Size, best_resolution, fitted_size, parse_pinpoints
from mlcd.core.language.presets import mlcd_embodied_7b, mlcd_next_7b


def test_a_range_stands_for_every_pair_in_it() -> None:
    pairs = [(336 * i, 336 * j) for i in range(1, 7) for j in range(1, 7)]
    assert list(parse_pinpoints("(1x1),...,(6x6)", 336)) == pairs
    assert parse_pinpoints("(1x2),...,(2x3)", 64) == ((64, 128), (64, 192), (128, 128), (128, 192))


@pytest.mark.parametrize(
    "value",
    [
        [[336, 672], [672, 336]],
        "[[336, 672], [672, 336]]",
        "[(336, 672), (672, 336)]",
        ((336, 672), (672, 336)),
    ],
)
def test_a_list_is_read_as_a_list_and_as_text(value: object) -> None:
    assert parse_pinpoints(value, 336) == ((336, 672), (672, 336))


@pytest.mark.parametrize("value", ["", "six", "[1, 2]", [[1, 2, 3]], None, 5, "__import__('os')"])
def test_anything_else_is_refused_with_what_was_expected(value: object) -> None:
    with pytest.raises(ValueError, match=r"expected a list of \(width, height\)"):
        parse_pinpoints(value, 336)


def best_by_hand(size: Size, pinpoints: Sequence[Size]) -> Size:
    """The published loop."""
    best, most, least = None, 0, math.inf
    for width, height in pinpoints:
        scale = min(width / size[0], height / size[1])
        fitted = int(size[0] * scale) * int(size[1] * scale)
        effective = min(fitted, size[0] * size[1])
        wasted = width * height - effective
        if effective > most or (effective == most and wasted < least):
            best, most, least = (width, height), effective, wasted
    assert best is not None
    return best


def test_the_best_of_two_thousand_sizes_is_that_of_the_published_loop() -> None:
    sides = (1, 2, 7, 55, 224, 336, 337, 448, 500, 799, 1000, 1344, 2016, 4000)
    for config in (mlcd_next_7b(), mlcd_embodied_7b()):
        for size in itertools.product(sides, sides):
            assert best_resolution(size, config.pinpoints) == best_by_hand(size, config.pinpoints)


def test_of_equal_pinpoints_the_first_is_taken() -> None:
    assert best_resolution((224, 224), ((336, 672), (672, 336))) == (336, 672)
    assert best_resolution((224, 224), ((672, 336), (336, 672))) == (672, 336)


@pytest.mark.parametrize(
    ("size", "target", "fitted"),
    [
        ((640, 480), (672, 672), (672, 504)),
        ((480, 640), (672, 672), (504, 672)),
        ((1000, 301), (1008, 336), (1008, 304)),  # 303.4 rounded up
        ((1, 5000), (336, 672), (1, 672)),
        ((100, 100), (672, 672), (672, 672)),
    ],
)
def test_a_picture_fits_with_one_side_exact(size: Size, target: Size, fitted: Size) -> None:
    assert fitted_size(size, target) == fitted
