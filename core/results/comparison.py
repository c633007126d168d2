"""Two results side by side: first what was measured differently, then what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mlcd.core.results.bootstrap import Interval, mean_interval
from mlcd.core.results.plain_json import number_json, plain
from mlcd.core.results.result import Result
from mlcd.core.results.sample_log import Sample
from mlcd.core.results.sample_values import Summarize, sample_values

SEED = 0  # of the bootstrap: the same two results always give the same interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A metric in both results; `interval`: of the change, 95 %, paired, for means over samples."""

    first: float
    second: float
    interval: Interval | None = None

    @property
    def change(self) -> float:
        """Second minus first."""
        return self.second - self.first


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """How `second` differs from `first`; flips, score and metrics are of the shared samples."""

    first: Result
    second: Result
    measured: Mapping[str, tuple[Any, Any]]  # fields of the stamps that differ
    made_with: Mapping[str, tuple[Any, Any]]  # commits, versions, hardware that differ
    num_shared: int
    only_first: Sequence[str]
    only_second: Sequence[str]
    right_from: float
    gained: Sequence[str]  # ids that went from wrong to right
    lost: Sequence[str]  # from right to wrong
    score: Change  # the mean score
    metrics: Mapping[str, Change]  # empty when they cannot be computed on the shared samples

    @property
    def is_same_measurement(self) -> bool:
        """Whether the stamps differ in nothing but the weights: those are what one compares."""
        return set(self.measured) <= {"weights_sha256"}

    def to_json(self) -> dict[str, Any]:
        """The comparison as one JSON document, differences of the measurement first."""
        return {
            "first": str(self.first.folder),
            "second": str(self.second.folder),
            "is_same_measurement": self.is_same_measurement,
            "measured": plain(self.measured),
            "made_with": plain(self.made_with),
            "samples": {
                "shared": self.num_shared,
                "only_first": list(self.only_first),
                "only_second": list(self.only_second),
            },
            "flips": {
                "right_from": self.right_from,
                "gained": list(self.gained),
                "lost": list(self.lost),
            },
            "score": _change_json(self.score),
            "metrics": {name: _change_json(change) for name, change in self.metrics.items()},
        }


def compare(
    first: Result,
    second: Result,
    *,
    summarize: Summarize | None = None,
    right_from: float = 0.5,
) -> Comparison:
    """Compare two results sample by sample, on the samples that both have.

    A sample is right when its score is at least `right_from`. `summarize` computes the task's
    metrics from samples; without it the metrics of results with different samples are left out.
    ValueError: no sample in common.
    """
    ours = {sample["id"]: sample for sample in first.samples()}
    theirs = {sample["id"]: sample for sample in second.samples()}
    shared = [key for key in ours if key in theirs]
    if not shared:
        raise ValueError(
            f"{first.folder} and {second.folder} have no sample in common (ids such as "
            f"{next(iter(ours))!r} and {next(iter(theirs))!r}): nothing can be compared"
        )
    pairs = {key: (float(ours[key]["score"]), float(theirs[key]["score"])) for key in shared}
    return Comparison(
        first=first,
        second=second,
        measured=first.stamp.differences(second.stamp),
        made_with=_origin_differences(first, second),
        num_shared=len(shared),
        only_first=[key for key in ours if key not in theirs],
        only_second=[key for key in theirs if key not in ours],
        right_from=right_from,
        gained=[key for key, (was, now) in pairs.items() if was < right_from <= now],
        lost=[key for key, (was, now) in pairs.items() if now < right_from <= was],
        score=_paired_change(
            {key: was for key, (was, _) in pairs.items()},
            {key: now for key, (_, now) in pairs.items()},
        ),
        metrics=_metric_changes(
            first,
            second,
            [ours[key] for key in shared],
            [theirs[key] for key in shared],
            summarize,
        ),
    )


def _metric_changes(
    first: Result,
    second: Result,
    ours: list[Sample],
    theirs: list[Sample],
    summarize: Summarize | None,
) -> dict[str, Change]:
    before, after = dict(first.metrics), dict(second.metrics)
    if len(ours) < max(first.num_samples, second.num_samples):
        if summarize is None:
            return {}
        before, after = dict(summarize(ours)), dict(summarize(theirs))
    values_before = sample_values(ours, before, summarize)
    values_after = sample_values(theirs, after, summarize)
    changes = {}
    for name in (name for name in before if name in after):
        values = values_before.get(name), values_after.get(name)
        if values[0] and values[1] and values[0].keys() == values[1].keys():
            changes[name] = _paired_change(values[0], values[1])
        else:
            changes[name] = Change(first=before[name], second=after[name])
    return changes


def _paired_change(before: Mapping[str, float], after: Mapping[str, float]) -> Change:
    differences = [after[key] - value for key, value in before.items()]
    return Change(
        first=sum(before.values()) / len(before),
        second=sum(after.values()) / len(after),
        interval=mean_interval(differences, seed=SEED),
    )


def _origin_differences(first: Result, second: Result) -> dict[str, tuple[Any, Any]]:
    """What the last runs of both were made with, where it differs."""
    ours, theirs = _origin(first), _origin(second)
    return {
        name: (ours.get(name), theirs.get(name))
        for name in {**ours, **theirs}
        if ours.get(name) != theirs.get(name)
    }


def _origin(result: Result) -> dict[str, Any]:
    run = asdict(result.runs[-1])
    return {"commit": run["commit"], **run["versions"], **run["hardware"]}


def _change_json(change: Change) -> dict[str, Any]:
    return {
        "first": number_json(change.first),
        "second": number_json(change.second),
        "change": number_json(change.change),
        "interval": change.interval,
    }
