"""What the harness is asked and what is read of its answer, without the harness."""

from __future__ import annotations

import os
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlcd.apps.embodied.lmms_eval.harness import (
    PUBLISHED_TASKS,
    HarnessRun,
    numbers_of,
    run_harness,
    task_folder,
)
from mlcd.apps.embodied.lmms_eval.published_general import beside_published
from mlcd.cli.main import main

WITHOUT = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable


def test_the_command_line_of_the_harness(tmp_path: Path) -> None:
    run = HarnessRun(model="hub/name", tasks=["mme", "gqa"], limit=3, batch_size=2, device="cuda")
    words = run.arguments(tmp_path)
    given = dict(pairwise(words))
    assert given["--model"] == "mlcd"
    assert given["--model_args"] == "pretrained=hub/name"
    assert given["--tasks"] == "mme,gqa"
    assert given["--limit"] == "3"
    assert given["--batch_size"] == "2"
    assert given["--device"] == "cuda"
    remote = HarnessRun(model="http://127.0.0.1:8000", tasks=["mme"], name="own")
    assert "pretrained=http://127.0.0.1:8000,name=own" in remote.arguments(tmp_path)


def test_a_folder_is_named_from_the_root_since_the_harness_runs_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    path = os.path.relpath(tmp_path / "model")
    run = HarnessRun(model=path, tasks=["mme"])
    assert f"pretrained={(tmp_path / 'model').resolve()}" in run.arguments(tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tasks": []}, "no task to run"),
        ({"tasks": ["mme,gqa"]}, "a task named without commas"),
        ({"model": "a,b"}, "a model named without commas"),
        ({"limit": 0}, "expected at least one document"),
    ],
)
def test_what_cannot_be_asked(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        HarnessRun(**{"model": "m", "tasks": ["mme"], **changes})


def test_numbers_without_errors_names_and_samples() -> None:
    document = {
        "results": {
            "mme": {
                "alias": "mme",
                "mme_cognition_score,none": 300.0,
                "mme_cognition_score_stderr,none": "N/A",
                "mme_perception_score,none": 1500,
            },
            "chartqa": {"relaxed_overall,none": 0.5, "relaxed_overall_stderr_clt,none": 0.1},
            "mmbench": {"alias": "mmbench", " ": ""},
        }
    }
    numbers = numbers_of(document)
    assert numbers == {
        "mme": {"mme_cognition_score": 300.0, "mme_perception_score": 1500.0},
        "chartqa": {"relaxed_overall": 0.5},
    }
    rows = {(row["benchmark"], row["source"][:7]): row for row in beside_published(numbers)}
    assert rows["ChartQA", "general"]["ours"] == 50
    assert rows["ChartQA", "general"]["published"]["MLCD-Embodied-7B"] == 83.0
    assert rows["ChartQA", "LLaVA-N"]["published"]["MLCD bigG-448"] == 73.8
    assert rows["MME cognition", "LLaVA-N"]["ours"] == 300
    assert rows["AI2D", "general"]["ours"] is None
    assert rows["MME cognition", "general"]["published"] == {
        "MLCD-Embodied-7B": 578, "LLaVA-OV-7B": 418, "GPT-4V": 517,
    }  # fmt: skip


def test_without_the_harness_one_sentence_names_the_extra(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["embodied", "eval", "general", "-o", str(tmp_path / "r"), "--python", WITHOUT]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "pip install 'mlcd[lmms-eval]'" in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "r").exists()
    assert main([*command[:-1], str(tmp_path / "none")]) == 1
    assert "no Python that can be run" in capsys.readouterr().err


def test_how_it_asks_is_not_the_users_to_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["embodied", "eval", "general", "-o", str(tmp_path), "--shown", "none"]) == 1
    assert "leave out --shown" in capsys.readouterr().err


def test_a_run_without_results_is_an_error_though_the_harness_ends_well(tmp_path: Path) -> None:
    pretended = tmp_path / "python"
    pretended.write_text("#!/bin/sh\nexit 0\n")
    pretended.chmod(0o755)
    run = HarnessRun(model="m", tasks=["mme"])
    with pytest.raises(ValueError, match="exit code 0 and no results"):
        run_harness(run, tmp_path / "out", python=pretended)


def test_every_task_file_names_functions_that_exist_and_a_file_that_is_there() -> None:
    class Loader(yaml.SafeLoader):
        """Gives `!function module.name` as text."""

    Loader.add_constructor("!function", lambda loader, node: f"!{loader.construct_scalar(node)}")
    files = [*task_folder().rglob("*.yaml"), *task_folder().rglob("res_template")]
    assert len(files) == 2 + 8 + 1 + 1
    for file in files:
        config = yaml.load(file.read_text(encoding="utf-8"), Loader)
        values = [*config.values(), *(own["aggregation"] for own in config.get("metric_list", ()))]
        for value in values:
            if isinstance(value, str) and value.startswith("!"):
                module, _, name = value[1:].partition(".")
                assert f"\ndef {name}(" in (file.parent / f"{module}.py").read_text("utf-8")
        for name in config.get("dataset_kwargs", {}).get("data_files", {}).values():
            assert (file.parent / name).is_file()
    assert len(PUBLISHED_TASKS) == 16
