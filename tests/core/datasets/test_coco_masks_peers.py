"""Polygons cover exactly the pixels that pycocotools gives them (`make peers`)."""

from __future__ import annotations

import numpy as np
import pytest

from mlcd.core.datasets.coco_masks import coco_runs
from mlcd.core.rle import decode_rle

pytestmark = pytest.mark.peers


def polygons(count: int) -> list[tuple[list[float], tuple[int, int]]]:
    """Of any shape: convex and crossing themselves, whole numbers and not, beyond the picture."""
    generator = np.random.default_rng(0)
    found: list[tuple[list[float], tuple[int, int]]] = []
    for number in range(count):
        height, width = (int(side) for side in generator.integers(1, 90, 2))
        corners = generator.uniform(0, 1, (int(generator.integers(3, 20)), 2))
        if number % 4 == 0:
            corners = 1.6 * corners - 0.3  # some lies outside
        corners *= (width, height)
        if number % 3 == 0:
            corners = corners.round()
        if number % 5 == 0:
            corners = np.repeat(corners, 2, axis=0)  # points given twice
        found.append((corners.ravel().tolist(), (height, width)))
    return found


def test_every_polygon_covers_the_pixels_that_it_covers_there() -> None:
    from pycocotools import mask as coco

    for polygon, shape in polygons(3000):
        theirs = coco.decode(coco.frPyObjects([polygon], *shape))[..., 0].astype(bool)
        (ours,) = coco_runs([polygon], shape)
        assert np.array_equal(decode_rle(ours), theirs), (polygon, shape)


def test_run_lengths_of_both_kinds_mean_the_same() -> None:
    from pycocotools import mask as coco

    mask = np.random.default_rng(1).random((13, 17)) < 0.4
    compressed = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat]))).tolist()
    counts = np.diff([0, *edges, flat.size]).tolist()
    theirs = coco.frPyObjects({"size": [13, 17], "counts": counts}, 13, 17)
    assert np.array_equal(coco.decode(theirs).astype(bool), mask)
    for segmentation in (compressed, [compressed], {"size": [13, 17], "counts": counts}):
        (ours,) = coco_runs(segmentation, (13, 17))
        assert np.array_equal(decode_rle(ours), mask)
