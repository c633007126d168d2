"""The language stages from the command line: planned, trained, refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.training.language_toys import save_toy, write_conversations

from mlcd.cli.main import main
from mlcd.core.language.loading import load_vlm

QUICK = ("batch_size=4", "precision='no'", "tiles=((1,2),(2,1))", "accumulate=1", "max_length=400")


def test_published_stages_are_planned_without_a_gpu(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["train", "align-projector", "--plan"]) == 0
    text = capsys.readouterr().out
    assert "9,476,782,260 parameters, of which 18,816,000 learn" in text
    assert "4,360 steps of 128 conversations" in text
    assert "8 GPUs, ddp" in text
    command = ["train", "tune-instructions", "--plan", "--parallel", "zero3", "--json"]
    assert main(command) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["parameters"]["tower"] == {"all": 1_842_349_748, "learning": 1_803_984_692}
    assert plan["steps"] == 6085
    assert sum(plan["bytes"].values()) < 80e9


def test_a_model_is_tuned_and_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_conversations(tmp_path / "data")
    model = save_toy(tmp_path / "toy")
    items = json.loads(data.read_text())
    items[5]["conversations"] = []
    data.write_text(json.dumps(items))
    command = [
        "train", "tune-instructions", str(data), "--images", str(data.parent),
        "--start", str(model), "-o", str(tmp_path / "run"), "--broken", "skip",
        "--set", *QUICK, "--workers", "0", "--json",
    ]  # fmt: skip
    assert main(command) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert document["left_out"] == 1
    assert "(id n5)" in said.err
    assert load_vlm(document["model"]).config.max_length == 400


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "out"], "expected CONVERSATIONS and -o FOLDER, or --plan"),
        (["nowhere.json", "-o", "out"], "nowhere.json: no such file of conversations"),
        (["--recipe", "tune-cat", "--plan"], "no recipe 'tune-cat'; expected one of tune-mlcd"),
        (["--set", "rates.eyes=3", "--plan"], "there is no 'eyes'"),
        (["--lora", "0", "--plan"], "expected rank and alpha >= 1"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["train", "tune-instructions", *words]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_run_needs_a_model_or_its_two_parts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_conversations(tmp_path)
    command = ["train", "tune-instructions", str(data), "--images", str(tmp_path)]
    command += ["-o", str(tmp_path / "run"), "--set", *QUICK, "--tower", "things-tiny"]
    assert main(command) == 1
    assert (
        "expected either --start MODEL, or --tower MODEL and --language" in capsys.readouterr().err
    )


def test_an_adapter_merges_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, model = write_conversations(tmp_path / "data"), save_toy(tmp_path / "toy")
    run = tmp_path / "run"
    command = ["train", "tune-instructions", str(data), "--images", str(data.parent)]
    command += ["--start", str(model), "-o", str(run), "--lora", "4", "--workers", "0"]
    assert main([*command, "--set", *QUICK]) == 0
    capsys.readouterr()
    merge = ["train", "merge-lora", str(model), str(run / "adapter"), "-o", str(tmp_path / "m")]
    assert main([*merge, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["logit_difference"] < 1e-3
    load_vlm(tmp_path / "m")
