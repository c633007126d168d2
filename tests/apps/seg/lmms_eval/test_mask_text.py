"""Masks as texts come back as they were; other texts are no mask."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mlcd.apps.seg.lmms_eval.mask_text import read_mask, write_mask
from mlcd.apps.seg.lmms_eval.res_task import ciou, giou, measure, precision_at_50, seg_rate
from mlcd.core.rle import encode_mask


def test_a_mask_comes_back() -> None:
    mask = np.random.default_rng(0).random((7, 5)) > 0.5
    found = read_mask(write_mask(mask))
    assert found is not None
    assert (found == mask).all()


@pytest.mark.parametrize("text", ["", "It is not there.", "7", "[]", '{"size": [2, 2]}', "{"])
def test_other_texts_are_no_mask(text: str) -> None:
    assert read_mask(text) is None


def test_damaged_run_lengths_are_an_error_and_no_miss() -> None:
    with pytest.raises(ValueError, match="run lengths of 3 pixels for 2 x 2"):
        read_mask('{"size": [2, 2], "counts": [3]}')


def test_the_numbers_are_those_of_a_slow_loop() -> None:
    draw = np.random.default_rng(1)
    rows, shared, united, each = [], 0, 0, []
    for number in range(6):
        truth, said = (draw.random((6, 9)) < share for share in (0.6, 0.7))
        is_said = number != 2
        runs = [{"size": [6, 9], "counts": encode_mask(truth)["counts"]}]
        document = {
            "id": str(number), "image_id": "0", "has_target": True,
            "runs": json.dumps(runs), "shape": [6, 9],
        }  # fmt: skip
        rows.append(measure(document, [write_mask(said) if is_said else "no"])["ciou"])
        both = sum(bool(truth[y, x] and said[y, x] and is_said) for y in range(6) for x in range(9))
        any_ = sum(
            bool(truth[y, x] or (said[y, x] and is_said)) for y in range(6) for x in range(9)
        )
        shared, united, each = shared + both, united + any_, [*each, both / any_]
    assert ciou(rows) == pytest.approx(shared / united)
    assert giou(rows) == pytest.approx(sum(each) / 6)
    assert precision_at_50(rows) == pytest.approx(sum(iou >= 0.5 for iou in each) / 6)
    assert 0 < precision_at_50(rows) < 1
    assert seg_rate(rows) == pytest.approx(5 / 6)
