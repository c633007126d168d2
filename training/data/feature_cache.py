"""What a frozen tower says of each picture, kept on disk: trained on without the tower."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mlcd.core.language.tiles import Tiles
from mlcd.core.language.vlm import VisionLanguageModel
from mlcd.training.data.kept_files import KeptFiles

_LAYOUT = ("image_layout", "pinpoints", "several_images", "hidden_layer")


class FeatureCache:
    """A folder of what one tower sees in pictures that are laid out in one way."""

    def __init__(self, folder: Path, vlm: VisionLanguageModel) -> None:
        """Of the tower of `vlm`; ValueError when the folder is of another tower or layout."""
        values = vlm.config.to_dict()
        state = {
            "tower_sha256": vlm.tower.weights_sha256(),
            "tower": values["tower"],
            **{name: values[name] for name in _LAYOUT},
        }
        self._files = KeptFiles(folder, state)

    def __contains__(self, key: str) -> bool:
        return key in self._files

    def keep(self, key: str, tiles: Tiles, seen: Tensor) -> None:
        """Write what the tower saw of one picture, in half precision."""
        said = {"size": tiles.size, "grid": tiles.grid, "is_video": tiles.is_video}
        self._files.write(key, seen, said)

    def tiles(self, key: str) -> Tiles:
        """One picture as `Tiles` that were seen already; `ImageError` when it is not there."""
        seen, said = self._files.read(key)
        grid = said["grid"] and tuple(said["grid"])
        return Tiles(torch.empty(0), tuple(said["size"]), grid, said["is_video"], seen)
