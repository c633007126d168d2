"""What a frozen encoder said, kept on disk: a file for each picture, whole or not there.

Ranks and workers may fill and read one folder together, and a pass that was cut off goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from mlcd.core.checkpoint import read_json
from mlcd.core.files import atomic_path, write_text
from mlcd.core.images import ImageError

_STATE = "cache.json"


class KeptFiles:
    """A folder of tensors by key, in half precision, all made in one way."""

    def __init__(self, folder: Path, state: Mapping[str, Any]) -> None:
        """`state` says how they are made; ValueError when the folder's were made otherwise."""
        self.folder = folder
        state = json.loads(json.dumps(state))
        if not (folder / _STATE).exists():
            write_text(folder / _STATE, json.dumps(state, indent=2) + "\n")
        elif different := [
            name for name, value in read_json(folder / _STATE).items() if state.get(name) != value
        ]:
            raise ValueError(
                f"{folder} holds features of another encoder or layout ({', '.join(different)} "
                "differ); choose another folder"
            )

    def __contains__(self, key: str) -> bool:
        return self._path(key).exists()

    def write(self, key: str, seen: Tensor, said: Mapping[str, Any]) -> None:
        """Keep a tensor, and plain values beside it."""
        path = self._path(key)
        path.parent.mkdir(exist_ok=True)
        with atomic_path(path) as part:
            tensors = {"seen": seen.detach().to("cpu", torch.float16).contiguous()}
            save_file(tensors, part, metadata={"said": json.dumps(said)})

    def read(self, key: str) -> tuple[Tensor, dict[str, Any]]:
        """The tensor and the values; `ImageError` when they are not there."""
        path = self._path(key)
        if not path.exists():
            raise ImageError(f"{key}: not among the kept features in {self.folder}")
        with safe_open(path, framework="pt") as file:
            return file.get_tensor("seen"), json.loads(file.metadata()["said"])

    def _path(self, key: str) -> Path:
        name = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
        return self.folder / name[:2] / f"{name[2:]}.safetensors"
