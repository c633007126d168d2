"""`mlcd data playroom` writes sets in public layouts and says what it wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlcd.cli.main import main

SMALL = ["--count", "2", "--captions", "1", "--per-kind", "2", "--size", "32"]


def test_conversations_are_written_and_what_is_answered_blind_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["data", "playroom", "conversations", "-o", str(tmp_path / "set"), *SMALL]
    assert main(command) in (0, None)
    said = capsys.readouterr().out
    assert "train.json: 2 pictures" in said
    assert "yes_no" in said
    assert main(command) == 1
    assert "holds a set already" in capsys.readouterr().err


@pytest.mark.slow
def test_one_json_document_says_what_was_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["data", "playroom", "conversations", "-o", str(tmp_path), *SMALL, "--json"]
    assert main(command) in (0, None)
    document = json.loads(capsys.readouterr().out)
    assert document["pictures"] == {"captions": 1, "train": 2, "testA": 18, "testB": 36}
    assert len(document["blind"]) == 3


def test_an_odd_number_of_test_questions_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--per-kind", "3", "--count", "1"]
    assert main(["data", "playroom", "conversations", "-o", str(tmp_path), *options]) == 1
    assert "come in pairs; got 3" in capsys.readouterr().err
