"""Retrieval metrics, all from the ranks of the relevant pictures: the model is not needed.

A rank counts from 1. Queries without a relevant picture in the gallery are left out of every mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

RECALL_AT = (1, 2, 4, 8, 10, 16, 20, 30, 32, 40, 50, 100, 1000)
"""The K of the published tables of CUB, Cars, SOP, In-Shop and iNaturalist."""
MAP_DEPTH = 100  # of the Google Landmarks metric


def recall_at_k(ranks: Sequence[int], k: int) -> float:
    """1 when a relevant picture is among the `k` nearest, else 0."""
    return float(any(rank <= k for rank in ranks))


def r_precision(ranks: Sequence[int], num_relevant: int) -> float:
    """Share of relevant pictures among the R nearest, R being how many there are.

    Musgrave, Belongie & Lim, A Metric Learning Reality Check, ECCV 2020.
    """
    return sum(rank <= num_relevant for rank in ranks) / num_relevant


def map_at_r(ranks: Sequence[int], num_relevant: int) -> float:
    """Precisions at the relevant ones of the R nearest, summed, divided by R (ibid., eq. 1, 2)."""
    return _precision_sum(ranks, num_relevant) / num_relevant


def map_at_100(ranks: Sequence[int], num_relevant: int) -> float:
    """Average precision over the 100 nearest, divided by min(R, 100).

    Weyand et al., Google Landmarks Dataset v2, CVPR 2020, eq. 2.
    """
    return _precision_sum(ranks, MAP_DEPTH) / min(num_relevant, MAP_DEPTH)


def summarize(samples: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Every metric from the lines of `samples.jsonl`: the mean over the queries.

    A sample needs `ranks` (ascending, down to rank `depth`), `relevant` (how many there are) and
    `depth`. R@K is given for the usual K that all samples reach. ValueError when no query has a
    relevant picture.
    """
    samples = list(samples)
    answerable = [sample for sample in samples if sample["relevant"]]
    if not answerable:
        raise ValueError(f"none of {len(samples)} queries has a relevant picture in the gallery")

    def mean(metric: Callable[[Sequence[int], int], float]) -> float:
        values = (metric(sample["ranks"], sample["relevant"]) for sample in answerable)
        return sum(values) / len(answerable)

    depth = min(sample["depth"] for sample in answerable)
    metrics: dict[str, float] = {}
    for k in RECALL_AT:
        if k <= depth:
            hits = sum(recall_at_k(sample["ranks"], k) for sample in answerable)
            metrics[f"R@{k}"] = hits / len(answerable)
    metrics["R-Precision"] = mean(r_precision)
    metrics["MAP@R"] = mean(map_at_r)
    metrics["mAP@100"] = mean(map_at_100)
    if lone := len(samples) - len(answerable):
        metrics["queries without a relevant picture"] = float(lone)
    return metrics


def _precision_sum(ranks: Sequence[int], depth: int) -> float:
    """Sum of precisions at the ranks up to `depth`: the i-th relevant picture at r gives i/r."""
    return sum(place / rank for place, rank in enumerate(ranks, start=1) if rank <= depth)
