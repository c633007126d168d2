"""Two results are compared on the samples that both have, and differing measurements are seen."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from mlcd.core.results import Evaluation, Result, Stamp, compare
from mlcd.core.results.sample_log import Sample

Finish = Callable[..., Result]


def accuracy(samples: list[Sample]) -> dict[str, float]:
    return {"accuracy": sum(sample["score"] for sample in samples) / len(samples)}


def test_flips_are_named_in_both_directions(finish: Finish) -> None:
    first = finish("first", {"a": 1, "b": 0, "c": 0.4, "d": 0.6, "e": 1})
    second = finish("second", {"e": 1, "d": 0.3, "c": 0.5, "b": 0, "a": 0})
    comparison = compare(first, second)
    assert comparison.gained == ["c"]
    assert comparison.lost == ["a", "d"]
    strict = compare(first, second, right_from=1.0)
    assert (strict.gained, strict.lost) == ([], ["a"])


def test_equal_stamps_differ_in_nothing(finish: Finish) -> None:
    comparison = compare(finish("first", {"a": 1}), finish("second", {"a": 0}))
    assert comparison.measured == {}
    assert comparison.is_same_measurement


def test_other_weights_are_what_one_compares(finish: Finish, stamp: Stamp) -> None:
    other = dataclasses.replace(stamp, model="other", weights_sha256="cc" * 32)
    comparison = compare(finish("first", {"a": 1}), finish("second", {"a": 0}, stamp=other))
    assert comparison.measured == {"weights_sha256": ("aa" * 32, "cc" * 32)}
    assert comparison.is_same_measurement


def test_another_protocol_is_another_measurement(finish: Finish, stamp: Stamp) -> None:
    other = dataclasses.replace(
        stamp, protocol="self matches kept", prompt_sha256="dd", settings={"k": 1}
    )
    comparison = compare(finish("first", {"a": 1}), finish("second", {"a": 0}, stamp=other))
    assert not comparison.is_same_measurement
    assert comparison.measured == {
        "protocol": ("each toy against all others", "self matches kept"),
        "prompt_sha256": (None, "dd"),
        "settings.batch_size": (8, None),
        "settings.k": (None, 1),
    }


def test_the_interval_is_paired(finish: Finish) -> None:
    # Hard and easy samples, each a little better in the second: unpaired noise would hide it.
    draw = random.Random(0)
    before = {str(number): draw.choice([0.0, 0.9]) for number in range(100)}
    after = {key: score + 0.1 * draw.random() for key, score in before.items()}
    score = compare(finish("first", before), finish("second", after)).score
    differences = [after[key] - before[key] for key in before]
    mean = sum(differences) / 100
    spread = (sum((value - mean) ** 2 for value in differences) / 100) ** 0.5
    assert score.change == pytest.approx(mean)
    assert score.interval == pytest.approx(
        (mean - 1.96 * spread / 10, mean + 1.96 * spread / 10), abs=0.002
    )
    assert score.interval is not None
    assert score.interval.excludes_zero


def test_the_paired_interval_agrees_with_a_slow_loop(finish: Finish) -> None:
    before = {str(number): float(number % 3 == 0) for number in range(90)}
    after = {str(number): float(number % 2 == 0) for number in reversed(range(90))}
    draw = random.Random(9)
    keys, changes = list(before), []
    for _ in range(4000):
        picked = [keys[draw.randrange(90)] for _ in keys]
        changes.append(sum(after[key] - before[key] for key in picked) / 90)
    changes.sort()
    score = compare(finish("first", before), finish("second", after)).score
    assert score.interval == pytest.approx((changes[100], changes[3900]), abs=0.025)


def test_results_with_other_samples_are_compared_on_the_shared_ones(finish: Finish) -> None:
    first = finish("first", {"a": 1, "b": 1, "c": 0, "x": 0})
    second = finish("second", {"c": 1, "b": 1, "a": 1, "y": 0, "z": 0})
    comparison = compare(first, second, summarize=accuracy)
    assert comparison.num_shared == 3
    assert comparison.only_first == ["x"]
    assert comparison.only_second == ["y", "z"]
    assert comparison.score.first == pytest.approx(2 / 3)
    assert comparison.metrics["accuracy"].first == pytest.approx(2 / 3)
    assert comparison.metrics["accuracy"].second == 1
    assert comparison.metrics["accuracy"].interval == comparison.score.interval
    # Metrics over all samples are no difference of the shared ones.
    assert compare(first, second).metrics == {}


def test_results_without_a_shared_sample_are_refused_with_examples(finish: Finish) -> None:
    first, second = finish("first", {"a": 1}), finish("second", {"b": 1})
    with pytest.raises(ValueError, match=r"no sample in common.*'a' and 'b'"):
        compare(first, second)


def test_other_library_versions_are_seen(finish: Finish) -> None:
    first, second = finish("first", {"a": 1}), finish("second", {"a": 1})
    run = second.runs[-1]
    older = dataclasses.replace(run, versions=run.versions | {"numpy": "1.0"})
    comparison = compare(first, dataclasses.replace(second, runs=[older]))
    assert comparison.made_with == {"numpy": (run.versions["numpy"], "1.0")}


def test_a_metric_that_is_no_number_is_compared_as_valid_json(tmp_path: Path, stamp: Stamp) -> None:
    results = []
    for name in ("first", "second"):
        with Evaluation.open(tmp_path / name, stamp) as evaluation:
            evaluation.add({"id": "a", "score": 1})
            results.append(evaluation.finish({"psnr": float("inf")}))
    document = json.dumps(compare(*results).to_json(), allow_nan=False)
    assert json.loads(document)["metrics"]["psnr"] == {
        "first": "Infinity", "second": "Infinity", "change": "NaN", "interval": None,
    }  # fmt: skip
