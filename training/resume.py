"""Checkpoints: everything a run needs to go on, in one file that is whole or not there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mlcd.core.files import atomic_path


def save_checkpoint(
    path: Path, *, step: int, state: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    """Write `state` after `step` steps, with the settings that the run was started with."""
    with atomic_path(path) as part:
        torch.save({"step": step, "settings": dict(settings), "state": dict(state)}, part)


def load_checkpoint(path: Path, *, settings: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """(step, state) of a checkpoint; ValueError naming what differs when its settings do."""
    saved = torch.load(path, map_location="cpu", weights_only=True)
    before = saved["settings"]
    names = sorted(before.keys() | settings.keys())
    different = [
        f"{name} was {before.get(name)!r} and is {settings.get(name)!r}"
        for name in names
        if before.get(name) != settings.get(name)
    ]
    if different:
        raise ValueError(
            f"{path} belongs to a run with other settings: {'; '.join(different)}; "
            "go on with those, or choose another folder"
        )
    return int(saved["step"]), saved["state"]
