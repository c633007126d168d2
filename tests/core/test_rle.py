"""Run lengths are COCO's, and pixels are counted in them without making them masks."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mlcd.core.masks import Mask
from mlcd.core.rle import count_shared, decode_rle, encode_mask, read_runs, rle_area


def masks() -> list[Mask]:
    """Empty, full, single pixels in corners, noise of several densities, a ring."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:37, :53]
    ring = abs((rows - 18) ** 2 + (columns - 26) ** 2 - 150) < 60
    found = [np.zeros((5, 7), bool), np.ones((5, 7), bool), np.ones((1, 1), bool), ring]
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        mask = np.zeros((6, 4), bool)
        mask[corner] = True
        found.append(mask)
    for share in (0.01, 0.2, 0.5, 0.9):
        found += [generator.random(shape) < share for shape in ((31, 17), (1, 40), (40, 1))]
    return found


def runs_by_hand(mask: Mask) -> list[int]:
    runs, value = [0], False
    for column in range(mask.shape[1]):
        for row in range(mask.shape[0]):
            if bool(mask[row, column]) != value:
                runs.append(0)
                value = not value
            runs[-1] += 1
    return runs


@pytest.mark.parametrize("number", range(len(masks())))
def test_a_mask_comes_back_and_its_runs_are_those_of_a_slow_loop(number: int) -> None:
    mask = masks()[number]
    rle = encode_mask(mask)
    assert json.loads(json.dumps(rle)) == rle
    assert read_runs(rle).tolist() == runs_by_hand(mask)
    assert np.array_equal(decode_rle(rle), mask)
    assert rle_area(rle) == int(mask.sum())


@pytest.mark.parametrize("number", range(len(masks())))
def test_shared_pixels_are_counted_as_in_arrays(number: int) -> None:
    mask = masks()[number]
    for share in (0.0, 0.3, 1.0):
        other = np.random.default_rng(number).random(mask.shape) < share
        expected = int((mask & other).sum())
        assert count_shared(other, encode_mask(mask)) == expected
        plain = {"size": list(mask.shape), "counts": runs_by_hand(mask)}
        assert count_shared(np.asfortranarray(other), plain) == expected


def test_the_text_is_the_one_that_pycocotools_writes() -> None:
    mask = np.zeros((8, 9), bool)
    mask[2:7, 1:5] = True
    mask[4, 3] = False
    assert encode_mask(mask) == {"size": [8, 9], "counts": ":5300MN023n0"}


def test_runs_of_no_pixels_are_no_pixels() -> None:
    rle = {"size": [2, 5], "counts": [3, 0, 0, 2, 0, 4, 1]}
    mask = np.ones((2, 5), bool)
    assert count_shared(mask, rle) == rle_area(rle) == int(decode_rle(rle).sum()) == 6


@pytest.mark.parametrize(
    ("rle", "message"),
    [
        ({"size": [8, 9], "counts": ":5300MN023n"}, "cut off"),
        ({"size": [8, 9], "counts": "\x01\x02"}, "no text of COCO's"),
        ({"size": [8, 9], "counts": "o" * 40}, "cut off"),
        ({"size": [8, 9], "counts": [70, 3]}, "73 pixels for 9 x 8 = 72"),
        ({"size": [8, 9], "counts": [80, -8]}, "damaged"),
        ({"size": [8, 9], "counts": None}, "expected a text or a list"),
        ({"size": [8], "counts": [8]}, r"expected \[height, width\]"),
    ],
)
def test_damaged_run_lengths_are_refused(rle: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_runs(rle)


def test_a_mask_of_another_size_is_refused() -> None:
    rle = encode_mask(np.ones((4, 6), bool))
    with pytest.raises(ValueError, match="a mask of 4 x 6 pixels against one of 6 x 4"):
        count_shared(np.ones((6, 4), bool), rle)
