"""Metrics and the samples under them: which metrics are means over the samples, and of what."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlcd.core.results.sample_log import Sample

# Every metric of a task from its samples alone; ValueError when these give no metric.
Summarize = Callable[[list[Sample]], Mapping[str, float]]


def sample_values(
    samples: Sequence[Sample], metrics: Mapping[str, float], summarize: Summarize | None = None
) -> dict[str, dict[str, float]]:
    """What each sample adds to each metric that is a mean: {metric: {sample id: value}}.

    What `summarize` says of a sample alone; without it the sample's field of the metric's name, or
    else its score. Whether the metric is the mean of that is tried out, so that a ratio of sums, as
    cIoU is, never passes for a mean: it is not among the keys. Samples that a metric leaves out
    (queries without an answer) are not among its values.
    """
    alone = {sample["id"]: _alone(sample, summarize) for sample in samples}
    scores = {sample["id"]: float(sample["score"]) for sample in samples}
    found: dict[str, dict[str, float]] = {}
    for name, metric in metrics.items():
        own = {key: float(one[name]) for key, one in alone.items() if _is_number(one.get(name))}
        for values in [own] if summarize else [own, scores]:
            if values and is_same(sum(values.values()) / len(values), metric):
                found[name] = values
                break
    return found


def differing_metrics(first: Mapping[str, float], second: Mapping[str, float]) -> list[str]:
    """Names that one side lacks, or whose values differ by more than the order of sums explains."""
    return [
        name
        for name in {**first, **second}
        if name not in first or name not in second or not is_same(first[name], second[name])
    ]


def is_same(first: float, second: float) -> bool:
    """Equal but for the order of sums; NaN is the same as NaN."""
    both_nan = math.isnan(first) and math.isnan(second)
    return both_nan or math.isclose(first, second, rel_tol=1e-9, abs_tol=1e-12)


def _alone(sample: Sample, summarize: Summarize | None) -> Mapping[str, Any]:
    if summarize is None:
        return sample
    try:
        return summarize([sample])
    except ValueError:  # alone, this sample gives no metric
        return {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
