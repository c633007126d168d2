"""`mlcd embodied`: what a user types, what programs read, and what goes wrong in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.core.language.formats.folders import edit_config, edit_weights, llava_next_folder

from mlcd.cli.main import main


def test_check_says_what_a_folder_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    llava_next_folder(tmp_path / "model")
    assert main(["embodied", "check", str(tmp_path / "model")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{tmp_path / 'model'}: LLaVA-NeXT folder of LlavaQwenForCausalLM"
    assert lines[2] == (
        "  tower of the clip form, 32 pixels, layer -2; pictures anyres, spatial_unpad, "
        "5 pinpoints; Qwen2 of 2 layers of width 64, 264 words; template qwen_1_5"
    )
    assert lines[-1] == "  sound: the weights are exactly those of the architecture"


def test_check_names_what_is_wrong_for_people_and_for_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    llava_next_folder(tmp_path / "model")
    edit_weights(
        tmp_path / "model",
        lambda state: {key: value for key, value in state.items() if "newline" not in key},
    )
    assert main(["embodied", "check", str(tmp_path / "model")]) == 1
    printed = capsys.readouterr().out
    assert "  wrong: 1 missing key: model.image_newline" in printed
    assert "  likely: there is no newline token" in printed
    assert main(["embodied", "check", str(tmp_path / "model"), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["missing"] == ["model.image_newline"]
    assert document["architecture"]["template"] == "qwen_1_5"
    assert document["is_sound"] is False


def test_check_names_another_family(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    llava_next_folder(tmp_path / "model")
    edit_config(tmp_path / "model", model_type="llava_llama")
    assert main(["embodied", "check", str(tmp_path / "model")]) == 1
    assert "Llama or Vicuna language model" in capsys.readouterr().out
