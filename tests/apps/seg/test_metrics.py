"""Each project's numbers, by slow loops over masks and by hand, from one table of counts."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from mlcd.apps.seg.counts import MaskCounts, count_masks, count_squashed
from mlcd.apps.seg.metrics import (
    GLAMM,
    LAVT,
    LISA,
    MLCD_SEG,
    OURS,
    RULES,
    SampleRow,
    summarize,
)
from mlcd.core.masks import Mask
from mlcd.core.rle import encode_mask

SHAPE = (24, 30)


class Case:
    """One phrase: what was predicted, the polygons of the truth, and the picture."""

    def __init__(self, number: int) -> None:
        generator = np.random.default_rng(number)
        rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]

        def blob() -> Mask:
            y, x, radius = generator.integers((4, 4, 4), (20, 26, 11))
            mask: Mask = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
            return mask

        self.image = f"picture {number // 4 if number % 2 else number // 5}"
        self.polygons = [blob() for _ in range(number % 3)]  # none: nothing is there
        near = generator.random() < 0.6 and self.polygons
        self.prediction = np.roll(self.polygons[0], number % 4, axis=1) if near else blob()
        if number % 7 == 0:
            self.prediction = np.zeros(SHAPE, bool)
        self.row = self._row(str(number))

    def _row(self, name: str) -> SampleRow:
        truth = [encode_mask(own) for own in self.polygons]
        says = bool(self.prediction.any())
        return SampleRow(
            sample=name,
            image=self.image,
            has_target=bool(self.polygons),
            says_seg=says,
            free=count_masks(self.prediction if says else None, truth, SHAPE),
            forced=count_masks(~self.prediction, truth, SHAPE),
            free_squashed=count_squashed(self.prediction, truth, SHAPE),
        )


CASES = [Case(number) for number in range(45)]
ROWS = [case.row for case in CASES]


def iou_by_hand(prediction: Mask, truth: Mask, empty: float, epsilon: float = 0.0) -> float:
    union = int((prediction | truth).sum())
    return empty if union == 0 else int((prediction & truth).sum()) / (union + epsilon)


def truth_of(case: Case, rule: str) -> Mask:
    times = np.sum(case.polygons, axis=0) if case.polygons else np.zeros(SHAPE, int)
    mask: Mask = times > 0 if rule == "or" else times == 1
    return mask


@pytest.mark.parametrize(
    ("rules", "rule", "epsilon"), [(OURS, "or", 0.0), (LISA, "eq1", 1e-5), (MLCD_SEG, "or", 1e-5)]
)
def test_ciou_and_giou_are_those_of_a_slow_loop(rules: object, rule: str, epsilon: float) -> None:
    shared = united = 0
    ious: dict[str, list[float]] = {}
    for case in CASES:
        truth = truth_of(case, rule)
        shared += int((case.prediction & truth).sum())
        united += int((case.prediction | truth).sum())
        ious.setdefault(case.image, []).append(iou_by_hand(case.prediction, truth, 1.0, epsilon))
    found = summarize(ROWS, rules)  # type: ignore[arg-type]
    assert found["cIoU"] == pytest.approx(shared / united, abs=1e-9)
    of_image = [sum(own) / len(own) for own in ious.values()]
    every = [iou for own in ious.values() for iou in own]
    mean = of_image if rules is MLCD_SEG else every
    assert found["gIoU"] == pytest.approx(sum(mean) / len(mean), abs=1e-9)
    assert len(of_image) < len(every)


def test_pixels_where_polygons_overlap_make_a_difference() -> None:
    assert summarize(ROWS, LISA)["cIoU"] != summarize(ROWS, OURS)["cIoU"]


def test_lavt_is_measured_on_squashed_masks_and_gives_nothing_for_nothing() -> None:
    from PIL import Image

    def squashed(mask: np.ndarray) -> np.ndarray:
        picture = Image.fromarray(mask.astype(np.uint8))
        return np.asarray(picture.resize((480, 480), Image.Resampling.NEAREST))

    shared = united = 0
    ious = []
    for case in CASES:
        times = np.sum(case.polygons, axis=0) if case.polygons else np.zeros(SHAPE)
        truth, prediction = squashed(times) == 1, squashed(case.prediction) > 0
        shared += int((prediction & truth).sum())
        united += int((prediction | truth).sum())
        ious.append(iou_by_hand(prediction, truth, 0.0))
    found = summarize(ROWS, LAVT)
    assert found["cIoU"] == pytest.approx(shared / united)
    assert found["gIoU"] == pytest.approx(sum(ious) / len(ious))


def test_precision_is_over_phrases_of_something_and_its_edge_counts() -> None:
    rows = [
        SampleRow(
            sample=str(number), image="a", has_target=True,
            free=MaskCounts(shared=shared, predicted=100, true=shared),
        )
        for number, shared in enumerate((49, 50, 70, 89, 90))
    ]  # fmt: skip
    nothing = MaskCounts(shared=0, predicted=0, true=0)
    rows.append(SampleRow(sample="x", image="a", has_target=False, free=nothing))
    found = summarize(rows)
    assert [found[f"Pr@{least}"] for least in (0.5, 0.6, 0.7, 0.8, 0.9)] == [
        0.8,
        0.6,
        0.6,
        0.4,
        0.2,
    ]


def test_phrases_of_nothing_are_right_when_nothing_is_said() -> None:
    said = [(case.row.has_target, bool(case.prediction.any())) for case in CASES]
    absent = [not there for has_target, there in said if not has_target]
    present = [there for has_target, there in said if has_target]
    found = summarize(ROWS)
    assert found["N-acc"] == pytest.approx(sum(absent) / len(absent))
    assert found["T-acc"] == pytest.approx(sum(present) / len(present))
    assert 0 < found["N-acc"] < 1
    targeted = summarize([row for row in ROWS if row.has_target])
    assert "N-acc" not in targeted
    assert found["[SEG] rate"] == pytest.approx(sum(there for _, there in said) / len(said))


def test_few_pixels_can_count_as_nothing() -> None:
    few = MaskCounts(shared=0, predicted=49, true=0)
    many = MaskCounts(shared=50, predicted=50, true=90)
    rows = [
        SampleRow(sample="a", image="a", has_target=False, free=few),
        SampleRow(sample="b", image="a", has_target=True, free=many),
    ]
    assert summarize(rows)["N-acc"] == 0
    found = summarize(rows, least_pixels=50)
    assert (found["N-acc"], found["T-acc"]) == (1.0, 1.0)


def test_grefcoco_by_hand() -> None:
    """ReLA: right about nothing adds 0/0 and 1; a mask of nothing adds 0/U and 0."""
    rows = [
        SampleRow(
            sample="right", image="a", has_target=False, says_seg=False,
            free=MaskCounts(shared=0, predicted=0, true=0),
        ),
        SampleRow(
            sample="wrong", image="a", has_target=False,
            free=MaskCounts(shared=0, predicted=40, true=0),
        ),
        SampleRow(
            sample="found", image="b", has_target=True,
            free=MaskCounts(shared=30, predicted=50, true=40),
        ),
        SampleRow(
            sample="missed", image="b", has_target=True, says_seg=False,
            free=MaskCounts(shared=0, predicted=0, true=20),
        ),
    ]  # fmt: skip
    found = summarize(rows)
    assert found["cIoU"] == pytest.approx(30 / (40 + 60 + 20))
    assert found["gIoU"] == pytest.approx((1 + 0 + 0.5 + 0) / 4)
    assert (found["N-acc"], found["T-acc"], found["[SEG] rate"]) == (0.5, 0.5, 0.5)


def test_glamm_looks_at_three_phrases_of_a_picture() -> None:
    def row(number: int, image: str) -> SampleRow:
        counts = MaskCounts(shared=number, predicted=100, true=number)
        return SampleRow(sample=f"{image}{number}", image=image, has_target=True, free=counts)

    rows = [row(number, "many") for number in range(1, 31)] + [row(50, "one")]
    found = [summarize(rows, GLAMM, seed=seed)["gIoU"] for seed in range(20)]
    assert len(set(found)) > 10
    assert found[3] == summarize(rows[::-1], GLAMM, seed=3)["gIoU"]
    lowest, highest = (1 + 2 + 3 + 50) / 400, (28 + 29 + 30 + 50) / 400
    assert all(lowest <= value <= highest for value in found)


def test_forced_masks_are_measured_from_the_same_table() -> None:
    forced = summarize(ROWS, output="forced")
    as_free = summarize([replace(row, free=row.forced) for row in ROWS if row.forced is not None])
    assert forced == as_free
    assert forced["cIoU"] != summarize(ROWS)["cIoU"]


def test_a_saved_table_gives_the_same_numbers() -> None:
    lines = [json.dumps(row.to_dict() | {"phrase": "the cup"}) for row in ROWS]
    again = [SampleRow.from_dict(json.loads(line)) for line in lines]
    assert again == ROWS
    for rules in RULES.values():
        assert summarize(again, rules) == summarize(ROWS, rules)


def test_order_changes_nothing() -> None:
    for rules in (OURS, LISA, MLCD_SEG, LAVT):
        assert summarize(ROWS[::-1], rules) == pytest.approx(summarize(ROWS, rules))


def test_tables_that_cannot_be_measured_are_refused() -> None:
    with pytest.raises(ValueError, match="an empty table"):
        summarize([])
    with pytest.raises(ValueError, match="it would count twice"):
        summarize([*ROWS, ROWS[3]])
    with pytest.raises(ValueError, match="has no counts 'forced_squashed'"):
        summarize(ROWS, LAVT, output="forced")
    with pytest.raises(ValueError, match="no line of a table of masks"):
        SampleRow.from_dict({"sample": "a"})
