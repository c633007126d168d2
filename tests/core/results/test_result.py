"""result.json is valid JSON, reads back as it was, and says what is wrong when it does not."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from mlcd.core.results import Evaluation, Published, Result, Stamp, Table, load_result
from mlcd.core.results.result import FORMAT

Finish = Callable[..., Result]


def strict_json(text: str) -> Any:
    def refuse(name: str) -> NoReturn:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def rewrite(folder: Path, **changes: object) -> None:
    path = folder / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_result_reads_back_as_it_was_written(finish: Finish) -> None:
    table = Table(title="by kind", columns=["kind", "accuracy"], rows=[["cat", 0.5], ["dog", None]])
    number = Published(metric="accuracy", value=0.7, model="theirs", source="a paper, table 2")
    result = finish("run", {"a": 1, "b": 0}, tables=[table], published=[number])
    loaded = load_result(result.folder)
    assert loaded.to_json() == result.to_json()
    assert loaded.intervals["accuracy"].high == 1.0
    assert loaded.tables[0].rows[1] == ["dog", None]
    assert loaded.published == [number]
    assert [sample["id"] for sample in loaded.samples()] == ["a", "b"]


def test_numbers_that_json_lacks_survive(tmp_path: Path, stamp: Stamp) -> None:
    with Evaluation.open(tmp_path, stamp) as evaluation:
        evaluation.add({"id": "a", "score": 1})
        evaluation.finish({"up": math.inf, "down": -math.inf, "none": math.nan, "one": 1.0})
    document = strict_json((tmp_path / "result.json").read_text())
    assert document["metrics"] == {"up": "Infinity", "down": "-Infinity", "none": "NaN", "one": 1.0}
    metrics = load_result(tmp_path).metrics
    assert metrics["up"] == math.inf
    assert metrics["down"] == -math.inf
    assert math.isnan(metrics["none"])


def test_a_result_says_what_it_was_made_with(finish: Finish) -> None:
    document = finish("run", {"a": 1}).to_json()
    (run,) = document["runs"]
    assert {"python", "numpy", "mlcd"} <= set(run["versions"])
    assert {"processor", "cores"} <= set(run["hardware"])
    assert document["stamp"]["protocol"] == "each toy against all others"
    assert str(Path.home()) not in json.dumps(document)


def test_a_newer_format_asks_for_a_newer_mlcd(finish: Finish) -> None:
    folder = finish("run", {"a": 1}).folder
    rewrite(folder, format=FORMAT + 1)
    with pytest.raises(ValueError, match=f"has format {FORMAT + 1}.*upgrade"):
        load_result(folder)


def test_a_damaged_result_is_named(finish: Finish) -> None:
    folder = finish("run", {"a": 1}).folder
    path = folder / "result.json"
    whole = path.read_text()
    path.write_text(whole[:-20])
    with pytest.raises(ValueError, match=r"result.json is not JSON"):
        load_result(folder)
    for key in ("stamp", "metrics", "runs"):
        path.write_text(whole)
        rewrite(folder, **{key: None})
        with pytest.raises(ValueError, match=r"result.json is damaged"):
            load_result(folder)
    path.write_text('{"accuracy": 1}')
    with pytest.raises(ValueError, match="not written by an mlcd evaluation"):
        load_result(folder)


def test_a_folder_that_is_none_or_holds_no_result_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a folder"):
        load_result(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"holds no result.json"):
        load_result(tmp_path)


def test_missing_samples_are_noticed(finish: Finish) -> None:
    result = finish("run", {"a": 1, "b": 0})
    path = result.folder / "samples.jsonl"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.raises(ValueError, match=r"expected 2 samples .* found 1"):
        result.samples()
    path.unlink()
    with pytest.raises(OSError, match="samples"):
        result.samples()
