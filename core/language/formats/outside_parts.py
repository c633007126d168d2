"""Parts of a model that its own folder does not hold: its configuration names another for them.

Also the architecture of a tower whose weights are there and whose folder is not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

from mlcd.core.checkpoint import Shape, read_json
from mlcd.core.images import Preprocess
from mlcd.core.models import embedded_models, find_model
from mlcd.core.towers import huggingface
from mlcd.core.towers.config import KIND, TowerConfig
from mlcd.core.towers.convert import Source as TowerSource
from mlcd.core.towers.convert import recognise as recognise_tower

_HEAD_DIM = 64
"""Channels of a head in every CLIP of a width up to L/14; larger ones have others."""
_LARGEST_WIDTH = 1024


def find_folder(name: object, folder: Path, setting: str, what: str) -> Path:
    """What a setting of the `config.json` in `folder` names: within that folder, or as any model.

    `what` says for the error which part it is.
    """
    if not isinstance(name, str) or not name:
        raise ValueError(
            f"{folder / 'config.json'}: {what} is not in this folder, and {setting} names none "
            f"({name!r}): set it to the folder of {what}"
        )
    if (folder / name).exists():
        return folder / name
    try:
        return find_model(name)
    except (ValueError, OSError) as error:
        raise ValueError(
            f"{folder / 'config.json'}: {what} is not in this folder, and {name!r}, which "
            f"{setting} names, was not found; download it and set {setting} to its folder ({error})"
        ) from error


def find_tower(name: object, folder: Path) -> TowerSource:
    """The tower that mm_vision_tower names, with its weights."""
    path = find_folder(name, folder, "mm_vision_tower", "the tower")
    try:
        return recognise_tower(path)
    except ValueError as error:
        raise ValueError(f"{folder / 'config.json'}: its mm_vision_tower: {error}") from error


def tower_nearby(name: object, folder: Path) -> TowerConfig | None:
    """The architecture of the tower that mm_vision_tower names, if it is on this disk; nothing is
    downloaded for it.
    """
    if not isinstance(name, str) or not name:
        return None
    path = folder / name if (folder / name).exists() else _on_this_disk(name)
    if path is not None and path.is_file():
        return recognise_tower(path).config
    if path is None or not (path / "config.json").is_file():
        return None
    values = read_json(path / "config.json")
    if values.pop("kind", None) == KIND:
        return TowerConfig.from_dict(values)
    return huggingface.read_config(path)


def _on_this_disk(name: str) -> Path | None:
    """An embedded model, a path, or what the hub gave before."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    path = embedded_models().get(name, Path(name).expanduser())
    if path.exists():
        return path
    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def tower_from_shapes(shapes: Mapping[str, Shape], image_size: int | None) -> TowerConfig:
    """The tower of weights in Transformers' names without prefix, as CLIP and MLCD were published.

    `image_size` is for the rope2d form, whose weights fit every size. ValueError when they are no
    such tower, or when they do not tell enough.
    """
    patches = shapes.get("embeddings.patch_embedding.weight")
    first = shapes.get("encoder.layers.0.mlp.fc1.weight")
    if patches is None or first is None or "embeddings.class_embedding" not in shapes:
        raise ValueError(
            "its tower has no patches and class token in the names of CLIP and MLCD, so it is "
            "another one (SigLIP?); only CLIP and MLCD towers are read here"
        )
    width, _, patch_size, _ = patches
    angles = shapes.get("class_pos_emb")
    positions = shapes.get("embeddings.position_embedding.weight")
    if angles is not None:
        size, head_dim = image_size, 2 * angles[-1]
    elif positions is not None and width <= _LARGEST_WIDTH:
        size, head_dim = math.isqrt(positions[0] - 1) * patch_size, _HEAD_DIM
    else:
        size, head_dim = None, _HEAD_DIM
    if size is None or width % head_dim:
        raise ValueError(
            f"the weights of its tower, of width {width}, do not tell heads and image size: set "
            "mm_vision_tower to a folder with the tower's config.json"
        )
    return TowerConfig(
        form="clip" if angles is None else "rope2d",
        image_size=size,
        patch_size=patch_size,
        width=width,
        depth=1 + max(_block_numbers(shapes)),
        num_heads=width // head_dim,
        mlp_width=first[0],
        activation="quick_gelu" if angles is None else "gelu",
        preprocess=Preprocess(size=size),
    )


def _block_numbers(shapes: Mapping[str, Shape]) -> list[int]:
    found = (re.match(r"encoder\.layers\.(\d+)\.", key) for key in shapes)
    numbers = [int(match[1]) for match in found if match]
    assert numbers, "the first block was there"
    if max(numbers) >= len(shapes):
        raise ValueError(f"misshapen keys: block {max(numbers)} among {len(shapes)} keys")
    return numbers
