"""From a folder or file on disk to what it is: `recognise` tells the format and the architecture.

Knows the four ways in which a tower comes: our folders, Hugging Face's, and the authors' two
families of `.pt` files. Reading goes through the names of the file, so that every message about
keys speaks of the file as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mlcd.core.checkpoint import (
    KeyReport,
    Shape,
    compare_keys,
    iterate_weights,
    read_json,
    read_shapes,
)
from mlcd.core.towers import huggingface, upstream
from mlcd.core.towers.config import KIND, TowerConfig
from mlcd.core.towers.naming import HUGGINGFACE, NATIVE_ROPE2D, NATIVE_UNICOM, Naming
from mlcd.core.towers.vit import VisionTower


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A tower on disk: what it is, and what its file calls the parameters."""

    path: Path
    description: str
    config: TowerConfig
    naming: Naming | None
    """None where the names are ours."""
    prefix: str
    """What stands before every key in the file."""
    shapes: Mapping[str, Shape]

    def build_empty(self) -> VisionTower:
        """The tower without memory for its weights (on the meta device)."""
        with torch.device("meta"):
            return VisionTower(self.config)

    def expected_shapes(self) -> dict[str, Shape]:
        """Keys and shapes that the file should have, in its own names."""
        state = self.build_empty().state_dict()
        named = state if self.naming is None else self.naming.publish(state)
        return {self.prefix + key: tuple(value.shape) for key, value in named.items()}

    def compare(self) -> KeyReport:
        """How the file's keys differ from those of its architecture."""
        tolerated = self.naming.tolerated if self.naming else frozenset()
        names = {name for key in tolerated for name in (key, self.prefix + key)}
        found = {key: shape for key, shape in self.shapes.items() if key not in names}
        return compare_keys(self.expected_shapes(), found)

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Every weight under our names, in the dtype of the file."""
        stripped = (
            (key.removeprefix(self.prefix), value) for key, value in iterate_weights(self.path)
        )
        if self.naming is None:
            return stripped
        return self.naming.adopt(self.build_empty().state_dict(), stripped)


def recognise(path: Path, *, image_size: int | None = None) -> Source:
    """What a model folder or weight file is.

    `image_size` is for a bare file of the rope2d form, whose keys do not tell it. ValueError when
    it is not a tower; whether the keys are the right ones is for `Source.compare`.
    """
    if path.is_dir() and (path / "config.json").is_file():
        source = _recognise_folder(path)
    elif path.is_dir():
        raise ValueError(
            f"{path}: no config.json; expected a model folder, or the path of a single .pt file"
        )
    else:
        source = _recognise_file(path, image_size)
    return source


def _recognise_folder(folder: Path) -> Source:
    values = read_json(folder / "config.json")
    if values.get("kind") == KIND:
        try:
            config = TowerConfig.from_dict(
                {key: value for key, value in values.items() if key != "kind"}
            )
        except (ValueError, TypeError) as error:
            raise ValueError(f"{folder / 'config.json'}: {error}") from error
        return Source(
            path=folder,
            description=f"our model folder, {config.form} form",
            config=config,
            naming=None,
            prefix="",
            shapes=read_shapes(folder),
        )
    config = huggingface.read_config(folder)
    shapes = read_shapes(folder)
    has_prefix = any(key.startswith(huggingface.PREFIX) for key in shapes)
    name = "CLIPVisionModel" if config.form == "clip" else "MLCDVisionModel"
    return Source(
        path=folder,
        description=f"Hugging Face folder of {name}, {config.form} form",
        config=config,
        naming=HUGGINGFACE,
        prefix=huggingface.PREFIX if has_prefix else "",
        shapes=shapes,
    )


def _recognise_file(file: Path, image_size: int | None) -> Source:
    shapes = read_shapes(file)
    prefix = upstream.wrapper_prefix(shapes)
    bare = {key.removeprefix(prefix): shape for key, shape in shapes.items()}
    try:
        config, naming = upstream.infer(bare, image_size=image_size)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    if naming is NATIVE_UNICOM:
        description = "UNICOM weights of its authors, unicom form"
    else:
        form = "rope2d" if naming is NATIVE_ROPE2D else "clip"
        description = f"MLCD weights of its authors, {form} form"
    return Source(
        path=file,
        description=description,
        config=config,
        naming=naming,
        prefix=prefix,
        shapes=shapes,
    )
