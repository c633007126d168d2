"""Pixels are counted as in arrays, overlaps of polygons by each project's rule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from mlcd.apps.seg.counts import MaskCounts, count_masks, count_squashed
from mlcd.core.masks import Mask
from mlcd.core.rle import encode_mask

SHAPE = (40, 60)


def some_masks(number: int, seed: int, shape: tuple[int, int] = SHAPE) -> list[Mask]:
    """Rectangles that overlap."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(number):
        mask = np.zeros(shape, bool)
        top, left = generator.integers(0, (shape[0] // 2, shape[1] // 2))
        mask[top : top + shape[0] // 2, left : left + shape[1] // 2] = True
        found.append(mask)
    return found


def lisa_by_hand(prediction: Mask, polygons: Sequence[Mask]) -> tuple[int, int]:
    """Intersection and union of class 1 by histograms of two bins, of the sum of polygons."""
    target = torch.from_numpy(np.sum(polygons, axis=0, dtype=np.int64)).view(-1)
    output = torch.from_numpy(prediction.astype(np.int64)).view(-1)
    shared = output[output == target]
    areas = [
        torch.histc(values.float(), bins=2, min=0, max=1)[1] for values in (shared, output, target)
    ]
    return int(areas[0]), int(areas[1] + areas[2] - areas[0])


@pytest.mark.parametrize("seed", range(8))
def test_counts_are_those_of_arrays_under_every_rule(seed: int) -> None:
    (prediction,) = some_masks(1, seed + 100)
    polygons = some_masks(1 + seed % 3, seed)
    counts = count_masks(prediction, [encode_mask(own) for own in polygons], SHAPE)
    times = np.sum(polygons, axis=0)
    union, once = times > 0, times == 1
    assert counts.intersection("or") == int((prediction & union).sum())
    assert counts.union("or") == int((prediction | union).sum())
    assert counts.intersection("eq1") == int((prediction & once).sum())
    assert counts.union("eq1") == int((prediction | once).sum())
    by_hand = lisa_by_hand(prediction, polygons)
    assert (counts.intersection("lisa"), counts.union("lisa")) == by_hand


def test_one_mask_and_its_halves_are_counted_alike() -> None:
    prediction, truth = some_masks(2, 5)
    left = truth.copy()
    left[:, 30:] = False
    halves = [encode_mask(left), encode_mask(truth & ~left)]
    assert count_masks(prediction, [encode_mask(truth)], SHAPE) == count_masks(
        prediction, halves, SHAPE
    )


def test_nothing_predicted_and_nothing_true() -> None:
    mask = some_masks(1, 0)[0]
    pixels = int(mask.sum())
    assert count_masks(None, [encode_mask(mask)], SHAPE) == MaskCounts(
        shared=0, predicted=0, true=pixels
    )
    assert count_masks(mask, [], SHAPE) == MaskCounts(shared=0, predicted=pixels, true=0)
    assert count_masks(None, [], SHAPE).union() == 0


@pytest.mark.parametrize("shape", [SHAPE, (480, 480), (700, 311)])
def test_squashed_masks_are_those_of_pillows_nearest_pixel(shape: tuple[int, int]) -> None:
    from PIL import Image

    prediction, *polygons = some_masks(3, 7, shape)

    def squashed(values: np.ndarray) -> np.ndarray:
        picture = Image.fromarray(values.astype(np.uint8))
        return np.asarray(picture.resize((480, 480), Image.Resampling.NEAREST))

    counts = count_squashed(prediction, [encode_mask(own) for own in polygons], shape)
    once = squashed(np.sum(polygons, axis=0)) == 1
    small = squashed(prediction) > 0
    assert counts.intersection("eq1") == int((small & once).sum())
    assert counts.union("eq1") == int((small | once).sum())
    assert count_squashed(None, [], shape).union() == 0


def test_a_mask_of_another_size_is_refused() -> None:
    mask = np.ones((40, 60), bool)
    with pytest.raises(ValueError, match=r"the predicted mask is of 60 x 40 .* picture of 40 x 60"):
        count_masks(mask, [encode_mask(mask.T)], (60, 40))
    with pytest.raises(ValueError, match=r"a true mask is of 60 x 40 .* picture of 40 x 60"):
        count_masks(mask.T, [encode_mask(mask)], (60, 40))


def test_counts_that_cannot_be_are_refused() -> None:
    for values in (
        {"shared": 5, "predicted": 4, "true": 9},
        {"shared": -1, "predicted": 4, "true": 9},
        {"shared": 1, "predicted": 4, "true": 9, "overlap": 2, "overlap_predicted": 2},
        {"shared": 1.0, "predicted": 4, "true": 9},
    ):
        with pytest.raises(ValueError, match="counts of pixels"):
            MaskCounts.from_dict(values)
    with pytest.raises(ValueError, match="unknown keys"):
        MaskCounts.from_dict({"shared": 0, "predicted": 0, "true": 0, "sure": 1})
    with pytest.raises(ValueError, match="mask rule 'and'"):
        MaskCounts(shared=0, predicted=0, true=0).union("and")  # type: ignore[arg-type]


def test_a_line_of_the_table_comes_back() -> None:
    for counts in (
        MaskCounts(shared=3, predicted=4, true=9, overlap=2, overlap_predicted=1),
        MaskCounts(shared=0, predicted=0, true=0),
    ):
        assert MaskCounts.from_dict(counts.to_dict()) == counts
