"""`mlcd results` shows, compares and recomputes what retrieval evaluations wrote."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mlcd.apps.retrieval.metrics import summarize
from mlcd.cli.main import main
from mlcd.cli.results import SUMMARIZE, summarize_of
from mlcd.core.results import Evaluation, Published, Stamp

STAMP = Stamp(
    task="retrieval",
    protocol="each picture against all others",
    model="tiny",
    weights_sha256="aa" * 32,
    data_sha256="bb" * 32,
    seed=0,
    settings={"batch_size": 8},
)


def evaluate(folder: Path, first_ranks: Sequence[int], stamp: Stamp = STAMP) -> Path:
    """A retrieval result with one relevant picture a query, at these ranks."""
    with Evaluation.open(folder, stamp, num_samples=len(first_ranks)) as evaluation:
        for number, rank in enumerate(first_ranks):
            evaluation.add(
                {
                    "id": f"picture {number}",
                    "score": float(rank == 1),
                    "relevant": 1,
                    "ranks": [rank],
                    "depth": 100,
                }
            )
        evaluation.finish(
            summarize(evaluation.samples()),
            summarize=summarize,
            published=[Published(metric="R@1", value=0.7, model="theirs", source="a paper")],
        )
    return folder


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["results", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


def document(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict[str, Any]]:
    code, out, _ = run(capsys, *words, "--json")
    return code, json.loads(out)


def test_show_prints_metrics_with_intervals_and_marks_the_papers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = evaluate(tmp_path / "run", [1, 2, 1, 9])
    code, out, err = run(capsys, "show", folder)
    assert code == 0
    assert "retrieval: tiny, 4 samples" in out
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "0.5000  95 %: 0.0000 to 1.0000" in lines["R@1"]
    assert "the paper's: a paper" in lines["theirs"]
    assert "report.html" in err


def test_show_json_is_the_result_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = evaluate(tmp_path / "run", [1, 2])
    code, shown = document(capsys, "show", folder)
    assert code == 0
    assert shown == json.loads((folder / "result.json").read_text())


def test_compare_prints_differing_measurements_before_any_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = dataclasses.replace(
        STAMP, protocol="self matches kept", weights_sha256="cc" * 32, settings={"batch_size": 1}
    )
    first = evaluate(tmp_path / "first", [1, 2, 1, 9])
    second = evaluate(tmp_path / "second", [2, 1, 1, 1], other)
    code, out, _ = run(capsys, "compare", first, second)
    assert code == 0
    places = [
        out.index(text)
        for text in (
            "NOT THE SAME MEASUREMENT",
            "protocol differs\n  A: each picture against all others\n  B: self matches kept",
            "weights_sha256 differs",
            "settings.batch_size differs\n  A: 8\n  B: 1",
            "the same 4 samples",
            "wrong -> right: 2 (picture 1, picture 3)",
            "right -> wrong: 1 (picture 0)",
            "mean score   0.5000  0.7500  +0.2500",
            "R@1",
        )
    ]
    assert places == sorted(places)
    assert "(zero is inside)" in out


def test_compare_of_two_towers_says_that_the_measurement_is_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = dataclasses.replace(STAMP, weights_sha256="cc" * 32)
    first, second = evaluate(tmp_path / "a", [1, 2]), evaluate(tmp_path / "b", [1, 1], other)
    _, out, _ = run(capsys, "compare", first, second)
    assert "NOT THE SAME" not in out
    assert "weights_sha256 differs" in out
    _, out, _ = run(capsys, "compare", first, first)
    assert "protocol, weights, data, prompt, seed and settings are the same" in out


def test_compare_of_other_samples_states_the_counts_and_uses_the_shared_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = evaluate(tmp_path / "a", [1, 2, 1]), evaluate(tmp_path / "b", [1, 1])
    _, out, _ = run(capsys, "compare", first, second)
    assert "2 samples are in both and compared here; 1 only in A, 0 only in B" in out
    _, compared = document(capsys, "compare", first, second)
    assert compared["samples"] == {"shared": 2, "only_first": ["picture 2"], "only_second": []}
    assert compared["metrics"]["R@1"]["first"] == 0.5
    assert compared["metrics"]["MAP@R"]["interval"] == [0.0, 1.0]


def test_many_flips_are_counted_and_the_first_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = evaluate(tmp_path / "a", [2] * 30), evaluate(tmp_path / "b", [1] * 30)
    _, out, _ = run(capsys, "compare", first, second)
    assert "wrong -> right: 30 (picture 0, " in out
    assert "and 10 more (--json)" in out
    _, compared = document(capsys, "compare", first, second)
    assert len(compared["flips"]["gained"]) == 30


def test_recompute_agrees_with_what_was_stated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = evaluate(tmp_path / "run", [1, 2, 30])
    code, out, err = run(capsys, "recompute", folder)
    assert code == 0
    assert "DIFFERS" not in out
    assert "all 15 metrics are what 3 samples give" in err
    code, again = document(capsys, "recompute", folder)
    assert code == 0
    assert again["is_equal"] is True
    assert again["recomputed"] == again["stated"]


def test_recompute_fails_when_a_number_was_embellished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = evaluate(tmp_path / "run", [1, 2, 30])
    path = folder / "result.json"
    stated = json.loads(path.read_text())
    stated["metrics"]["R@1"] += 0.01
    path.write_text(json.dumps(stated))
    code, out, err = run(capsys, "recompute", folder)
    assert code == 1
    (line,) = [line for line in out.splitlines() if "DIFFERS" in line]
    assert line.split() == ["R@1", "0.3433", "0.3333", "DIFFERS"]
    assert "1 of 15 metrics" in err
    code, again = document(capsys, "recompute", folder)
    assert code == 1
    assert again["differing"] == ["R@1"]


def test_recompute_fails_when_a_sample_was_embellished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = evaluate(tmp_path / "run", [1, 2, 30])
    path = folder / "samples.jsonl"
    path.write_text(path.read_text().replace('"ranks": [30]', '"ranks": [1]'))
    assert run(capsys, "recompute", folder)[0] == 1


@pytest.mark.parametrize("verb", ["show", "recompute"])
def test_a_folder_without_a_finished_result_is_one_line_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    with Evaluation.open(tmp_path / "begun", STAMP, num_samples=9) as evaluation:
        evaluation.add({"id": "a", "score": 1})
    for folder, expected in {
        "begun": "unfinished, 1 of 9 samples are done; run the same command again",
        "nowhere": "is not a folder",
        ".": "holds no result.json",
    }.items():
        code, out, err = run(capsys, verb, tmp_path / folder)
        assert (code, out) == (1, "")
        assert expected in err
        assert err.count("\n") == 1


def test_a_damaged_line_of_samples_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = evaluate(tmp_path / "run", [1, 2, 30])
    path = folder / "samples.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + lines[1][:20] + "\n" + lines[2])
    code, _, err = run(capsys, "recompute", folder)
    assert code == 1
    assert "samples.jsonl, line 2 is not JSON" in err


def test_samples_without_what_the_metrics_need_are_an_error_and_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Evaluation.open(tmp_path, STAMP) as evaluation:
        evaluation.add({"id": "a", "score": 1})
        evaluation.finish({"R@1": 1.0})
    code, _, err = run(capsys, "recompute", tmp_path)
    assert code == 1
    assert "the samples lack what the metrics of 'retrieval' need" in err


def test_an_unknown_task_is_named_beside_the_known_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = evaluate(tmp_path / "run", [1], dataclasses.replace(STAMP, task="juggling"))
    code, _, err = run(capsys, "recompute", folder)
    assert code == 1
    assert "'juggling'; known tasks: retrieval" in err


def test_a_result_can_be_moved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = evaluate(tmp_path / "run", [1, 2])
    shutil.move(folder, tmp_path / "elsewhere")
    assert run(capsys, "recompute", tmp_path / "elsewhere")[0] == 0


@pytest.mark.parametrize("task", SUMMARIZE)
def test_every_known_task_has_its_function(task: str) -> None:
    assert callable(summarize_of(task))
