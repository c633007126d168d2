"""COCO's segmentations give the pixels that pycocotools gives; what encloses nothing is said."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import pytest

from mlcd.core.datasets.coco_masks import coco_runs, count_short_polygons
from mlcd.core.rle import decode_rle, encode_mask

SHAPE = (12, 20)


def pixels(segmentation: Any) -> np.ndarray:
    runs = [decode_rle(run) for run in coco_runs(segmentation, SHAPE)]
    return reduce(np.logical_or, runs, np.zeros(SHAPE, dtype=np.bool_))


def rectangle(x0: float, y0: float, x1: float, y1: float) -> list[float]:
    return [x0, y0, x1, y0, x1, y1, x0, y1]


@pytest.mark.parametrize(
    ("polygon", "text"),
    [
        (
            [3.2, 1.1, 15.7, 2.4, 18.9, 9.6, 9.5, 7.1, 4.4, 10.8],
            "U12:8HO2N100O1O1001O00000011N2N2N4",
        ),
        ([-4.5, 3.0, 10.0, -3.5, 25.0, 6.5, 9.25, 14.75], "1652O1O1O1Oh31WL1N101NN"),
        ([2.0, 2.0, 17.0, 9.0, 17.0, 2.0, 2.0, 9.0], "j076N101N101N10<0D0O2O0O2O0O2Q1"),
    ],
)
def test_polygons_cover_what_pycocotools_2_0_gave(polygon: list[float], text: str) -> None:
    assert encode_mask(pixels([polygon]))["counts"] == text


def test_rectangles_of_whole_numbers_cover_what_a_loop_fills() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        x0, x1 = sorted(generator.choice(20, 2, replace=False))
        y0, y1 = sorted(generator.choice(12, 2, replace=False))
        expected = np.zeros(SHAPE, dtype=np.bool_)
        for y in range(y0, y1):
            for x in range(x0, x1):
                expected[y, x] = True
        assert np.array_equal(pixels([rectangle(x0, y0, x1, y1)]), expected)


def test_several_polygons_are_one_thing_by_union() -> None:
    """Adding them up, as the refer API does, would give 2 where they overlap."""
    both = pixels([rectangle(2, 1, 8, 5), rectangle(6, 3, 12, 9)])
    assert both.sum() == 24 + 36 - 4
    assert both[3, 6]


def test_run_lengths_are_taken_alone_in_lists_and_beside_polygons() -> None:
    mask = np.random.default_rng(1).random(SHAPE) < 0.3
    rle = encode_mask(mask)
    for segmentation in (rle, [rle], {**rle, "counts": rle["counts"].encode()}):
        assert np.array_equal(pixels(segmentation), mask)
    corner = pixels([rectangle(0, 0, 2, 2)])
    assert np.array_equal(pixels([rle, rectangle(0, 0, 2, 2)]), mask | corner)


def test_an_empty_segmentation_covers_nothing() -> None:
    assert coco_runs([], SHAPE) == []


def test_a_polygon_of_two_points_is_left_out_beside_others_and_refused_alone() -> None:
    line, square = [1.0, 1.0, 9.0, 9.0], rectangle(2, 1, 8, 5)
    assert np.array_equal(pixels([line, square]), pixels([square]))
    assert np.array_equal(pixels([square, line]), pixels([square]))
    assert count_short_polygons([line, square]) == 1
    assert count_short_polygons(encode_mask(pixels([square]))) == 0
    with pytest.raises(ValueError, match="a polygon of 2 points encloses nothing"):
        coco_runs([line], SHAPE)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (None, "expected polygons or run lengths, got None"),
        ("12 30", "expected polygons or run lengths, got '12 30'"),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], r"got one polygon; put it in \[\]"),
        ([[1.0, 2.0, 3.0, 4.0, 5.0]], "pairs of x and y"),
        ([[1.0, 2.0, 3.0, 4.0, 5.0, float("nan")]], "pairs of x and y"),
        ([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]], "pairs of x and y"),
        ([["a", "b", "c", "d", "e", "f"]], "expected numbers"),
        ({"size": [20, 12], "counts": [240]}, "12 x 20 pixels for a picture of 20 x 12"),
        ({"size": [12, 20], "counts": [239]}, "239 pixels for 20 x 12 = 240"),
        ({"size": [12, 20]}, "counts: expected a text or a list"),
    ],
)
def test_what_is_no_segmentation_of_the_picture_is_named(segmentation: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        coco_runs(segmentation, SHAPE)
