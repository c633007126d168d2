"""pycocotools writes the same texts and reads ours (`make peers`)."""

from __future__ import annotations

import numpy as np
import pytest

from mlcd.core.rle import decode_rle, encode_mask, rle_area

pytestmark = pytest.mark.peers


def test_texts_are_equal_both_ways() -> None:
    from pycocotools import mask as coco

    generator = np.random.default_rng(0)
    for number in range(200):
        height, width = generator.integers(1, 60, 2)
        mask = generator.random((height, width)) < generator.choice([0, 0.02, 0.3, 0.7, 1.0])
        if number % 3 == 0:
            mask[height // 4 :, : width // 2 + 1] = True
        theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        ours = encode_mask(mask)
        assert ours["counts"].encode() == theirs["counts"]
        assert np.array_equal(decode_rle(theirs), coco.decode(ours).astype(bool))
        assert rle_area(theirs) == coco.area(ours)


def test_long_runs_and_many_runs() -> None:
    from pycocotools import mask as coco

    for share in (1e-6, 1e-3, 0.4):
        mask = np.random.default_rng(1).random((2000, 3000)) < share
        theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert encode_mask(mask)["counts"].encode() == theirs["counts"]
        assert np.array_equal(decode_rle(theirs), mask)
