"""Spoiling sound model folders, and what the doctor must then say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from torch import Tensor

from mlcd.core.towers import load_tower
from mlcd.core.towers.doctor import Diagnosis


def edit_weights(folder: Path, edit: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    state = edit(load_file(folder / "model.safetensors"))
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def edit_config(folder: Path, name: str = "config.json", **changes: Any) -> None:
    values = json.loads((folder / name).read_text()) | changes
    (folder / name).write_text(json.dumps(values))


def assert_says(found: Diagnosis, problem: str, cause: str) -> None:
    """One problem and one cause, each with these words; and loading refuses it too."""
    assert not found.is_sound
    assert problem in " | ".join(found.problems)
    assert cause in " | ".join(found.causes)
    assert len(found.causes) == 1
    with pytest.raises((ValueError, OSError)):
        load_tower(found.path)
