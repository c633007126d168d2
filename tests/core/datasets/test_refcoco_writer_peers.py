"""The refer API's own way to a mask reads what we write (`make peers`)."""

from __future__ import annotations

import numpy as np
import pytest

from mlcd.core.datasets.refcoco_writer import annotation_entry

pytestmark = pytest.mark.peers


def test_run_lengths_in_a_list_are_decoded_and_added_up() -> None:
    from pycocotools import mask as coco

    for share in (0.0, 0.3, 1.0):
        mask = np.random.default_rng(0).random((23, 31)) < share
        annotation = annotation_entry(1, 1, 1, mask)
        decoded = coco.decode(annotation["segmentation"])
        assert decoded.shape == (23, 31, 1)
        assert np.array_equal(np.sum(decoded, axis=2), mask)
        assert coco.area(annotation["segmentation"]).tolist() == [annotation["area"]]
