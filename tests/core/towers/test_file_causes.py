"""What lies in place of the weights, or is missing beside them, is named."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.core.towers.spoiling import assert_says, edit_config
from tests.core.towers.toy_towers import random_tower
from tests.core.towers.unicom_by_hand import unicom_weights

from mlcd.core.checkpoint import write_weights
from mlcd.core.towers import huggingface, save_tower
from mlcd.core.towers.doctor import diagnose
from mlcd.core.towers.huggingface import export_huggingface


def test_nothing_at_all_is_said(tmp_path: Path) -> None:
    found = diagnose(tmp_path / "gone")
    assert not found.is_sound
    assert found.description == "nothing: there is no such file or folder"
    (tmp_path / "empty").mkdir()
    assert_says(diagnose(tmp_path / "empty"), "no config.json", "the folder is empty")


def test_a_missing_shard_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = partial(write_weights, shard_bytes=500_000)
    monkeypatch.setattr(huggingface, "write_weights", small)
    export_huggingface(random_tower("clip"), tmp_path / "clip")
    next(iter(sorted((tmp_path / "clip").glob("model-*"))[1:])).unlink()
    found = diagnose(tmp_path / "clip")
    assert not found.is_sound
    assert "1 of" in found.problems[0]
    assert "first model-00002-of-" in found.problems[0]
    assert "download it again" in found.problems[0]


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "the file is empty: a download or copy that did not finish"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "a web page was saved instead of the file"),
        (b"GGUF\x03\0\0\0", "a GGUF file"),
        (b"PK\x03\x04" + b"\0" * 50, "a PyTorch file with the wrong ending: rename it to .pt"),
        (b"\x20\0\0\0\0\0\0\0" + b"x" * 40, "its header is damaged"),
        (b"\xff" * 50, "cut off at 50 bytes or no safetensors file"),
    ],
)
def test_what_stands_in_place_of_the_weights_is_named(
    clip: Path, content: bytes, cause: str
) -> None:
    (clip / "model.safetensors").write_bytes(content)
    found = diagnose(clip)
    assert found.description == "a folder whose weights cannot be read"
    assert_says(found, "not a readable safetensors file", f"model.safetensors: {cause}")


def test_a_truncated_safetensors_is_told_by_how_much(clip: Path) -> None:
    whole = (clip / "model.safetensors").read_bytes()
    (clip / "model.safetensors").write_bytes(whole[:-100])
    said = f"cut off at {len(whole) - 100:,} of {len(whole):,} bytes: download it again"
    assert_says(diagnose(clip), "not a readable safetensors file", said)


def test_a_truncated_pt_is_named(tmp_path: Path) -> None:
    torch.save(unicom_weights(), tmp_path / "weights.pt")
    whole = (tmp_path / "weights.pt").read_bytes()
    (tmp_path / "weights.pt").write_bytes(whole[: len(whole) // 2])
    assert_says(diagnose(tmp_path / "weights.pt"), "not a readable PyTorch file", "cut off at")


def test_safetensors_with_the_ending_of_a_pickle(tmp_path: Path) -> None:
    save_file(unicom_weights(), tmp_path / "weights.pt")
    said = "a safetensors file with the wrong ending: rename it to .safetensors"
    assert_says(diagnose(tmp_path / "weights.pt"), "not a readable PyTorch file", said)


def test_a_file_that_is_no_weights_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("weights are elsewhere " * 20)
    assert_says(diagnose(tmp_path / "notes.md"), "not a readable", "no weight file by its name")


class Burglar:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def test_a_pickle_with_code_is_reported_and_not_executed(tmp_path: Path) -> None:
    torch.save({"a": Burglar(tmp_path / "marker")}, tmp_path / "weights.pt")
    found = diagnose(tmp_path / "weights.pt")
    assert not found.is_sound
    assert "it was not executed" in found.problems[0]
    assert not (tmp_path / "marker").exists()


def test_folders_with_a_part_of_what_is_needed(clip: Path, tmp_path: Path) -> None:
    weights, config = clip / "model.safetensors", clip / "config.json"
    moved = tmp_path / "moved"
    weights.rename(moved)
    said = "only the config of clip_vision_model was copied, not its weights"
    assert_says(diagnose(clip), "no weights; expected one of", said)
    (clip / "model.safetensors.index.json").write_text('{"weight_map": {"a": "b.safetensors"}}')
    assert_says(diagnose(clip), "1 of 1 shards missing", "only the index of the shards was copied")
    (clip / "model.safetensors.index.json").unlink()
    moved.rename(weights)
    config.unlink()
    assert_says(diagnose(clip), "no config.json", "config.json was not copied along")
    weights.unlink()
    assert_says(diagnose(clip), "no config.json", "neither weights nor a config.json")
    torch.save(unicom_weights(), clip / "unicom.pt")
    assert_says(diagnose(clip), "no config.json", "for an upstream file give its own path")


def test_a_model_one_folder_deeper_is_found(rope2d: Path) -> None:
    (rope2d.parent / "note.txt").write_text("x")
    assert_says(diagnose(rope2d.parent), "no config.json", "the model lies one folder deeper")


def test_a_config_from_a_newer_version_is_named(tmp_path: Path) -> None:
    save_tower(random_tower("clip"), tmp_path / "tower")
    edit_config(tmp_path / "tower", register_tokens=4)
    (problem,) = diagnose(tmp_path / "tower").problems
    assert "unknown tower settings ['register_tokens']; written by a newer version?" in problem
