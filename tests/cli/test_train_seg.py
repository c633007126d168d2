"""`tune-seg` from the command line: planned, trained, refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.training.language_toys import save_toy, write_conversations
from tests.training.seg_toys import save_toy_sam, write_phrases

from mlcd.apps.seg.loading import load_seg
from mlcd.cli.main import main

QUICK = (
    "language.batch_size=4", "language.precision='no'", "language.tiles=((1,2),(2,1))",
    "language.accumulate=1", "language.max_length=400",
)  # fmt: skip


def test_the_published_run_is_planned_without_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tune-seg", "--plan", "--parallel", "zero3"]) == 0
    text = capsys.readouterr().out
    assert "8,574,871,088 parameters" in text
    assert "sam.vision_encoder: 637,026,048, 0 of them learn" in text
    assert "text_to_prompt: 983,552, 983,552 of them learn" in text
    assert "14,062 steps of 128 conversations" in text
    assert main(["train", "tune-seg", "--plan", "--parallel", "zero3", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["bytes"]["weights"] == 2 * 8_574_871_088 // 8
    assert sum(plan["bytes"].values()) < 80e9


def test_a_model_is_tuned_on_phrases_and_conversations_and_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    phrases = write_phrases(tmp_path / "phrases", count=3)
    talk = write_conversations(tmp_path / "talk", count=4)
    command = [
        "train", "tune-seg", str(talk), "--images", str(talk.parent), "--phrases", str(phrases),
        "--start", str(save_toy(tmp_path / "toy")), "--sam", str(save_toy_sam(tmp_path / "sam")),
        "-o", str(tmp_path / "run"), "--set", *QUICK, "--embeddings", str(tmp_path / "kept"),
        "--workers", "0", "--json",
    ]  # fmt: skip
    assert main(command) == 0
    model = load_seg(json.loads(capsys.readouterr().out)["model"])
    assert model.config.vlm.max_length == 400
    assert model.vlm.tokenizer is not None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "out"], "expected --start MODEL and -o FOLDER, or --plan"),
        (["-o", "out", "--start", "x"], "nothing to learn from: give CONVERSATIONS, --phrases"),
        (
            ["-o", "out", "--start", "x", "--phrases", "nowhere.jsonl"],
            "nowhere.jsonl: no such file of phrases",
        ),
        (["--recipe", "tune-cat", "--plan"], "no recipe 'tune-cat'; expected one of tune-mlcd-seg"),
        (["--set", "rates.eyes=3", "--plan"], "there is no 'eyes'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["train", "tune-seg", *words]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
