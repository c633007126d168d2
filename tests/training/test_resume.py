"""A checkpoint is whole or not there, holds no pickle, and goes on only with its own settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mlcd.training.resume import load_checkpoint, save_checkpoint

SETTINGS = {"lr": 0.1, "ends": (1, 2), "tower": {"depth": 2}}


def save(run: Path, step: int, *, keep: int = 2) -> None:
    save_checkpoint(
        run,
        step=step,
        settings=SETTINGS,
        tensors={"model.a": torch.arange(3.0), "optimizer.a/step": torch.tensor(float(step))},
        values={"scaler": None},
        rows={"prototypes": torch.ones(2, 2)},
        keep=keep,
    )


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    save(tmp_path, 7)
    loaded = load_checkpoint(tmp_path, settings=SETTINGS)
    assert loaded is not None
    assert (loaded.step, loaded.values) == (7, {"scaler": None})
    assert torch.equal(loaded.tensors()["model.a"], torch.arange(3.0))
    assert loaded.tensors()["optimizer.a/step"].shape == ()
    (rows,) = loaded.rows()
    assert torch.equal(rows["prototypes"], torch.ones(2, 2))


def test_it_is_safetensors_and_json_alone(tmp_path: Path) -> None:
    save(tmp_path, 7)
    files_in_it = {path.name for path in (tmp_path / "checkpoints/step-00000007").iterdir()}
    assert files_in_it == {"state.json", "model.safetensors", "rows-00000-of-00001.safetensors"}
    state = json.loads((tmp_path / "checkpoints/step-00000007/state.json").read_text())
    assert state["step"] == 7


def test_the_newest_is_loaded_and_the_oldest_are_removed(tmp_path: Path) -> None:
    for step in (5, 10, 100_000_000):
        save(tmp_path, step)
    loaded = load_checkpoint(tmp_path, settings=SETTINGS)
    assert loaded is not None
    assert loaded.step == 100_000_000
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-00000010", "step-100000000"]


def test_a_cut_off_checkpoint_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 5)
    with monkeypatch.context() as patched:
        patched.setattr("mlcd.training.resume.write_text", _full_disk)
        with pytest.raises(OSError, match="full"):
            save(tmp_path, 10)
    (tmp_path / "checkpoints" / ".step-00000010.x.part").mkdir()  # what a kill leaves
    loaded = load_checkpoint(tmp_path, settings=SETTINGS)
    assert loaded is not None
    assert loaded.step == 5
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000005"]


def test_without_a_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path, settings=SETTINGS) is None


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    save(tmp_path, 7)
    with pytest.raises(ValueError, match=r"lr was 0\.1 and is 0\.2; tower\.depth was 2 and is 3;"):
        load_checkpoint(tmp_path, settings={**SETTINGS, "lr": 0.2, "tower": {"depth": 3}})


def _full_disk(*_: object) -> None:
    raise OSError("the disk is full")
