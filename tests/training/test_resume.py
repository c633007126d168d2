"""A checkpoint goes on only with the settings it was made with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mlcd.training.resume import load_checkpoint, save_checkpoint


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    state = {"weights": {"a": torch.arange(3.0)}}
    save_checkpoint(tmp_path / "c.pt", step=7, state=state, settings={"lr": 0.1, "ends": (1, 2)})
    step, loaded = load_checkpoint(tmp_path / "c.pt", settings={"lr": 0.1, "ends": (1, 2)})
    assert step == 7
    assert torch.equal(loaded["weights"]["a"], torch.arange(3.0))


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.pt", step=7, state={}, settings={"lr": 0.1, "seed": 0})
    with pytest.raises(ValueError, match=r"lr was 0\.1 and is 0\.2"):
        load_checkpoint(tmp_path / "c.pt", settings={"lr": 0.2, "seed": 0})
