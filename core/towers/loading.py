"""Reading a tower from any known format, and writing it in ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mlcd.core.checkpoint import cast_weight, cast_weights, weights_digest, write_weights
from mlcd.core.files import atomic_folder, write_text
from mlcd.core.models import find_model
from mlcd.core.towers.config import KIND
from mlcd.core.towers.convert import recognise
from mlcd.core.towers.vit import VisionTower


def load_tower(
    name_or_path: str | Path,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    image_size: int | None = None,
) -> VisionTower:
    """The tower in an embedded model, a model folder (ours or Hugging Face's), a `.pt` or a hub id.

    In evaluation mode, in float32 on the CPU unless `dtype` and `device` say otherwise.
    `image_size` is for a bare bigG `.pt`, which fits every size and does not tell its own (336).
    ValueError, naming the keys, when the weights are not exactly those of the architecture.

    Weights that need no other number type stay mapped from their file: it may be replaced or
    removed while the tower is in use, as every writer here does, but not overwritten in place.
    """
    path = find_model(name_or_path)
    source = recognise(path, image_size=image_size)
    report = source.compare()
    if not report.is_clean:
        raise ValueError(f"{path}: {report.summary()}; see `mlcd towers check {path}`")
    tower = source.build_empty()
    state = {
        key: cast_weight(value, dtype or torch.float32).to(device or "cpu")
        for key, value in source.weights()
    }
    tower.load_state_dict(state, assign=True)
    tower.name = str(name_or_path)
    return tower.eval()


def save_tower(
    tower: VisionTower,
    folder: str | Path,
    *,
    card: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
    overwrite: bool = False,
) -> None:
    """Write a model folder of ours: `config.json`, `model.safetensors`, `model_card.json`.

    `card` says what the weights are (data, licence, recipe, commit, measured numbers with their
    commands); the parameter count and the digest of the weights as written are added to it. All or
    nothing: a full disk or an interrupt leaves no half-written folder. FileExistsError when the
    folder is not empty, unless it may be overwritten.
    """
    state = cast_weights(tower.state_dict(), dtype)
    facts = {
        "parameters": sum(parameter.numel() for parameter in tower.parameters()),
        "weights_dtype": str(dtype).removeprefix("torch."),
        "weights_sha256": weights_digest(state),
    }
    config = {"kind": KIND} | tower.config.to_dict()
    with atomic_folder(folder, overwrite=overwrite) as part:
        write_weights(part, state)
        write_text(part / "config.json", json.dumps(config, indent=2) + "\n")
        write_text(part / "model_card.json", json.dumps({**(card or {}), **facts}, indent=2) + "\n")
