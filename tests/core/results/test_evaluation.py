"""An evaluation goes on after a kill, never mixes two measurements, and finishes once."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mlcd.core.results import Evaluation, Stamp, load_result

SLOW_EVALUATION = """
import sys, time
from mlcd.core.results import Evaluation, Stamp
stamp = Stamp(task="toy", protocol="p", model="m", weights_sha256="w", data_sha256="d", seed=0)
with Evaluation.open(sys.argv[1], stamp, num_samples=1000) as evaluation:
    for number in range(1000):
        if str(number) not in evaluation.done:
            evaluation.add({"id": str(number), "score": number % 2, "padding": "x" * 5000})
            time.sleep(0.002)
"""


def test_an_evaluation_killed_at_sample_n_resumes_at_n(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", SLOW_EVALUATION, str(folder)])
    samples = folder / "samples.jsonl"
    deadline = time.monotonic() + 60
    while not samples.exists() or samples.stat().st_size < 50_000:
        assert process.poll() is None, "the evaluation ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    whole_lines = samples.read_bytes().count(b"\n")

    stamp = Stamp(task="toy", protocol="p", model="m", weights_sha256="w", data_sha256="d", seed=0)
    with Evaluation.open(folder, stamp, num_samples=1000) as evaluation:
        assert evaluation.done == {str(number) for number in range(whole_lines)}
        assert 0 < whole_lines < 1000
        for number in range(whole_lines, 1000):
            evaluation.add({"id": str(number), "score": number % 2})
        result = evaluation.finish({"accuracy": 0.5})
    assert [run.first_sample for run in result.runs] == [0, whole_lines]
    assert [sample["id"] for sample in result.samples()] == [str(number) for number in range(1000)]


def test_a_torn_last_line_is_done_again(tmp_path: Path, stamp: Stamp) -> None:
    with Evaluation.open(tmp_path, stamp) as evaluation:
        evaluation.add({"id": "a", "score": 1})
        evaluation.add({"id": "b", "score": 0})
    samples = tmp_path / "samples.jsonl"
    samples.write_bytes(samples.read_bytes()[:-4])
    with Evaluation.open(tmp_path, stamp) as evaluation:
        assert evaluation.done == {"a"}
        evaluation.add({"id": "b", "score": 1})
    assert [json.loads(line)["score"] for line in samples.read_text().splitlines()] == [1, 1]


def test_a_finished_evaluation_is_given_back_and_not_written_again(
    tmp_path: Path, stamp: Stamp
) -> None:
    with Evaluation.open(tmp_path, stamp) as evaluation:
        assert evaluation.result is None
        evaluation.add({"id": "a", "score": 1})
        evaluation.finish({"accuracy": 1.0})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {"result.json", "report.html", "samples.jsonl"}

    with Evaluation.open(tmp_path, stamp) as evaluation:
        assert evaluation.done == {"a"}
        assert evaluation.result is not None
        again = evaluation.finish({"accuracy": 1.0})
        with pytest.raises(ValueError, match="is finished"):
            evaluation.add({"id": "b", "score": 1})
        with pytest.raises(ValueError, match="another accuracy"):
            evaluation.finish({"accuracy": 0.9})
    assert again.metrics == {"accuracy": 1.0}
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("is_finished", [False, True])
def test_another_measurement_is_refused_and_its_fields_are_named(
    tmp_path: Path, stamp: Stamp, is_finished: bool
) -> None:
    with Evaluation.open(tmp_path, stamp) as evaluation:
        evaluation.add({"id": "a", "score": 1})
        if is_finished:
            evaluation.finish({"accuracy": 1.0})
    other = dataclasses.replace(stamp, data_sha256="cc" * 32, settings={"batch_size": 16})
    with pytest.raises(ValueError, match="another measurement") as caught:
        Evaluation.open(tmp_path, other)
    message = str(caught.value)
    assert "data_sha256" in message
    assert "settings.batch_size is 8 there and 16 now" in message
    assert "weights_sha256" not in message
    assert "another folder" in message


def test_another_name_for_the_same_weights_is_the_same_measurement(
    tmp_path: Path, stamp: Stamp
) -> None:
    Evaluation.open(tmp_path, stamp).close()
    Evaluation.open(tmp_path, dataclasses.replace(stamp, model="/models/tiny-copy")).close()


def test_samples_of_unknown_origin_are_left_alone(tmp_path: Path, stamp: Stamp) -> None:
    samples = tmp_path / "samples.jsonl"
    samples.write_text('{"id": "a", "score": 1}\n{"id": "torn')
    with pytest.raises(ValueError, match="cannot be known"):
        Evaluation.open(tmp_path, stamp)
    assert samples.read_text().endswith("torn")


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path, stamp: Stamp) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(ValueError, match=r"not empty \(it holds holiday\.jpg\)"):
        Evaluation.open(tmp_path, stamp)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_a_kill_before_the_first_sample_is_no_harm(tmp_path: Path, stamp: Stamp) -> None:
    (tmp_path / "samples.jsonl").touch()  # made just before unfinished.json
    with Evaluation.open(tmp_path, stamp) as evaluation:
        assert evaluation.done == set()


def test_a_kill_between_the_report_and_the_result_leaves_an_unfinished_evaluation(
    tmp_path: Path, stamp: Stamp, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = Evaluation.open(tmp_path, stamp)
    evaluation.add({"id": "a", "score": 1})
    with monkeypatch.context() as patch:
        patch.setattr("mlcd.core.results.result.write_json", _killed)
        with pytest.raises(KeyboardInterrupt):
            evaluation.finish({"accuracy": 1.0})
    evaluation.close()
    with pytest.raises(ValueError, match="unfinished, 1 samples are done"):
        load_result(tmp_path)
    with Evaluation.open(tmp_path, stamp) as evaluation:
        assert evaluation.finish({"accuracy": 1.0}).metrics == {"accuracy": 1.0}


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_two_processes_cannot_write_one_evaluation(tmp_path: Path, stamp: Stamp) -> None:
    with Evaluation.open(tmp_path, stamp), pytest.raises(ValueError, match="another process"):
        Evaluation.open(tmp_path, stamp)
    Evaluation.open(tmp_path, stamp).close()


@pytest.mark.parametrize("score", [math.nan, math.inf, 1.01, -0.1, None, "1", [1]])
def test_a_score_is_a_number_from_0_to_1(tmp_path: Path, stamp: Stamp, score: object) -> None:
    with (
        Evaluation.open(tmp_path, stamp) as evaluation,
        pytest.raises(ValueError, match="'a': expected a score from 0"),
    ):
        evaluation.add({"id": "a", "score": score})
    assert (tmp_path / "samples.jsonl").read_text() == ""


def test_a_sample_has_an_id_and_is_added_once(tmp_path: Path, stamp: Stamp) -> None:
    with Evaluation.open(tmp_path, stamp) as evaluation:
        with pytest.raises(ValueError, match="text as id"):
            evaluation.add({"id": 5, "score": 1})
        evaluation.add({"id": "a", "score": 1})
        with pytest.raises(ValueError, match="'a' is done"):
            evaluation.add({"id": "a", "score": 1})


def test_what_json_cannot_hold_is_named(tmp_path: Path, stamp: Stamp) -> None:
    with (
        Evaluation.open(tmp_path, stamp) as evaluation,
        pytest.raises(ValueError, match=r"sample 'a' cannot be kept as JSON.*PosixPath"),
    ):
        evaluation.add({"id": "a", "score": 1, "path": tmp_path})


def test_samples_read_the_same_before_and_after_a_kill(tmp_path: Path, stamp: Stamp) -> None:
    evaluation = Evaluation.open(tmp_path, stamp)
    evaluation.add(
        {
            "id": "é\udcff",  # a file name that is no valid text
            "score": np.float32(0.5),
            "box": (1, np.int64(2)),
            "iou": math.nan,
            "mask": np.array([True, False]),
        }
    )
    written = evaluation.samples()
    evaluation.close()
    assert written == [
        {"id": "é\udcff", "score": 0.5, "box": [1, 2], "iou": None, "mask": [True, False]}
    ]
    with Evaluation.open(tmp_path, stamp) as evaluation:
        assert evaluation.samples() == written
        assert evaluation.done == {"é\udcff"}
        assert evaluation.finish({"accuracy": 0.5}).num_samples == 1


def test_finishing_early_is_refused(tmp_path: Path, stamp: Stamp) -> None:
    with Evaluation.open(tmp_path, stamp, num_samples=2) as evaluation:
        evaluation.add({"id": "a", "score": 1})
        with pytest.raises(ValueError, match="1 samples are done of 2"):
            evaluation.finish({"accuracy": 1.0})
    with pytest.raises(ValueError, match="unfinished, 1 of 2 samples are done"):
        load_result(tmp_path)


def test_an_evaluation_without_samples_has_no_result(tmp_path: Path, stamp: Stamp) -> None:
    with (
        Evaluation.open(tmp_path, stamp) as evaluation,
        pytest.raises(ValueError, match="at least one"),
    ):
        evaluation.finish({})


def test_the_worst_samples_come_worst_first(tmp_path: Path, stamp: Stamp) -> None:
    with Evaluation.open(tmp_path, stamp) as evaluation:
        for key, score in [("b", 0.2), ("a", 0.2), ("c", 1), ("d", 0)]:
            evaluation.add({"id": key, "score": score})
        assert [sample["id"] for sample in evaluation.worst(3)] == ["d", "a", "b"]


def test_every_metric_that_is_a_mean_has_an_interval(tmp_path: Path, stamp: Stamp) -> None:
    def summarize(samples: list[dict[str, float]]) -> dict[str, float]:
        ratio = sum(s["top"] for s in samples) / sum(s["bottom"] for s in samples)
        return {"mean": sum(s["top"] for s in samples) / len(samples), "ratio": ratio}

    with Evaluation.open(tmp_path, stamp) as evaluation:
        for number in range(20):
            evaluation.add({"id": str(number), "score": 1, "top": number, "bottom": 40 - number})
        metrics = summarize(evaluation.samples())
        result = evaluation.finish(metrics, summarize=summarize)
    assert set(result.intervals) == {"mean"}  # a ratio of sums is no mean of ratios
    low, high = result.intervals["mean"]
    assert low < result.metrics["mean"] < high
