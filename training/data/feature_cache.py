"""What a frozen tower says of each picture, kept on disk: trained on without the tower.

A file a picture, whole or not there: ranks and workers may fill and read one cache together, and
a pass that was cut off goes on.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mlcd.core.checkpoint import read_json
from mlcd.core.files import atomic_path, write_text
from mlcd.core.images import ImageError
from mlcd.core.language.tiles import Tiles
from mlcd.core.language.vlm import VisionLanguageModel

_STATE = "cache.json"
_LAYOUT = ("image_layout", "pinpoints", "several_images", "hidden_layer")


class FeatureCache:
    """A folder of what one tower sees in pictures that are laid out in one way."""

    def __init__(self, folder: Path, vlm: VisionLanguageModel) -> None:
        """Of the tower of `vlm`; ValueError when the folder is of another tower or layout."""
        self.folder = folder
        values = vlm.config.to_dict()
        state = {
            "tower_sha256": vlm.tower.weights_sha256(),
            "tower": values["tower"],
            **{name: values[name] for name in _LAYOUT},
        }
        state = json.loads(json.dumps(state))
        if not (folder / _STATE).exists():
            write_text(folder / _STATE, json.dumps(state, indent=2) + "\n")
        elif different := [
            name for name, value in read_json(folder / _STATE).items() if state.get(name) != value
        ]:
            raise ValueError(
                f"{folder} holds features of another tower or layout ({', '.join(different)} "
                "differ); choose another folder"
            )

    def __contains__(self, key: str) -> bool:
        return self._path(key).exists()

    def keep(self, key: str, tiles: Tiles, seen: torch.Tensor) -> None:
        """Write what the tower saw of one picture, in half precision."""
        said = {"size": tiles.size, "grid": tiles.grid, "is_video": tiles.is_video}
        path = self._path(key)
        path.parent.mkdir(exist_ok=True)
        with atomic_path(path) as part:
            tensors = {"seen": seen.detach().to("cpu", torch.float16).contiguous()}
            save_file(tensors, part, metadata={"tiles": json.dumps(said)})

    def tiles(self, key: str) -> Tiles:
        """One picture as `Tiles` that were seen already; `ImageError` when it is not there."""
        path = self._path(key)
        if not path.exists():
            raise ImageError(f"{key}: not among the kept features in {self.folder}")
        with safe_open(path, framework="pt") as file:
            seen = file.get_tensor("seen")
            said = json.loads(file.metadata()["tiles"])
        grid = said["grid"] and tuple(said["grid"])
        return Tiles(torch.empty(0), tuple(said["size"]), grid, said["is_video"], seen)

    def _path(self, key: str) -> Path:
        name = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
        return self.folder / name[:2] / f"{name[2:]}.safetensors"
