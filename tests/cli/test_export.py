"""`mlcd export`: what a user types, what programs read, and what goes wrong in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.core.language.formats.folders import HF_RULES, speaking_vlm

from mlcd.cli.main import main
from mlcd.core.language import load_vlm, save_vlm


@pytest.fixture
def model(tmp_path: Path) -> str:
    save_vlm(speaking_vlm(**HF_RULES), tmp_path / "ours")
    return str(tmp_path / "ours")


def test_the_difference_is_printed(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["export", model, "--to", "transformers", "-o", str(out)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{out}: transformers layout, float32\n")
    assert "read again, logits of a picture and a question (187 tokens, float32)" in printed
    assert "largest difference" in printed


def test_programs_read_a_document(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    accept = ["--accept", "unpad_rule", "several_images"]
    arguments = ["export", model, "--to", "llava-next", "-o", str(tmp_path / "out"), *accept]
    assert main([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["max_difference"] < 1e-4 < document["largest_logit"]
    assert document["changes"] == [
        {"setting": "unpad_rule", "from": "round", "to": "truncate"},
        {"setting": "several_images", "from": "tiled", "to": "padded"},
    ]
    assert load_vlm(tmp_path / "out").config.unpad_rule == "truncate"
    assert main([*arguments, "--overwrite"]) == 0
    noted = capsys.readouterr().err
    assert "changed as accepted: unpad_rule 'round' -> 'truncate'" in noted
    assert "looks for mm_vision_tower from its working folder" in noted


def test_a_refusal_is_one_line(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLCD_TRACEBACK", raising=False)
    assert main(["export", model, "--to", "llava-next", "-o", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("mlcd: the layout cannot express unpad_rule 'round'")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
