"""A metric is taken for a mean over samples only when it is one."""

from __future__ import annotations

import math

from mlcd.core.results.sample_log import Sample
from mlcd.core.results.sample_values import differing_metrics, sample_values

SAMPLES: list[Sample] = [
    {"id": "a", "score": 1, "iou": 0.5, "top": 1, "bottom": 2},
    {"id": "b", "score": 0, "iou": 0.25, "top": 1, "bottom": 4},
    {"id": "c", "score": 0, "iou": None, "top": 0, "bottom": 0},
]


def summarize(samples: list[Sample]) -> dict[str, float]:
    counted = [sample for sample in samples if sample["bottom"]]
    if not counted:
        raise ValueError("nothing to count")
    return {
        "gIoU": sum(sample["top"] / sample["bottom"] for sample in counted) / len(counted),
        "cIoU": sum(s["top"] for s in counted) / sum(s["bottom"] for s in counted),
    }


def test_fields_of_the_metrics_name_and_scores_are_found() -> None:
    values = sample_values(SAMPLES, {"iou": 0.375, "accuracy": 1 / 3, "other": 0.9})
    assert values == {
        "iou": {"a": 0.5, "b": 0.25},  # c is left out, as the metric leaves it out
        "accuracy": {"a": 1.0, "b": 0.0, "c": 0.0},
    }


def test_a_ratio_of_sums_is_no_mean() -> None:
    metrics = summarize(SAMPLES)
    assert sample_values(SAMPLES, metrics, summarize) == {"gIoU": {"a": 0.5, "b": 0.25}}


def test_metrics_differ_by_value_or_by_being_there() -> None:
    stated = {"same": 0.1 + 0.2, "nan": math.nan, "moved": 1.0, "gone": 1.0}
    again = {"same": 0.3, "nan": math.nan, "moved": 1.001, "new": 1.0}
    assert differing_metrics(stated, again) == ["moved", "gone", "new"]
