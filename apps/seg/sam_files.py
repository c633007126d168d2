"""A SAM on disk, read and written: original files (`.pth`) and Transformers' folders.

Transformers' folder of a `SamModel` is also how a SAM of ours lies on disk.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor

from mlcd.apps.seg.sam import Sam, sam_weights, tie_positions
from mlcd.apps.seg.sam_config import SamConfig
from mlcd.apps.seg.sam_names import (
    POSITIONS,
    SHARED_POSITIONS,
    TOLERATED,
    original_name,
    our_name,
)
from mlcd.apps.seg.sam_shapes import config_from_shapes
from mlcd.apps.seg.sam_transformers import (
    MODEL_TYPE,
    processor_config,
    read_config,
    to_transformers,
)
from mlcd.core.checkpoint import (
    KeyReport,
    Shape,
    cast_weight,
    cast_weights,
    compare_keys,
    iterate_weights,
    read_json,
    read_shapes,
    write_weights,
)
from mlcd.core.files import atomic_folder, atomic_path, write_text
from mlcd.core.models import find_model


@dataclass(frozen=True, kw_only=True, slots=True)
class SamSource:
    """The weights of a SAM in files, perhaps among others."""

    path: Path
    config: SamConfig
    shapes: Mapping[str, Shape]
    """Keys without `prefix`, those that mean nothing left out."""
    is_original: bool
    """Whether the names are the original ones, or Transformers'."""
    prefix: str = ""
    """What stands before every name."""

    def compare(self) -> KeyReport:
        """How the keys differ from those of the architecture, in the names of the file."""
        shapes = {
            key: tuple(value.shape) for key, value in sam_weights(empty_sam(self.config)).items()
        }
        if self.is_original:
            shapes = {original_name(key): shape for key, shape in shapes.items()}
        expected = {self.prefix + key: shape for key, shape in shapes.items()}
        found = {self.prefix + key: shape for key, shape in self.shapes.items()}
        return compare_keys(expected, found)

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Every (key, tensor) under our names, in the dtype of the file."""
        for name, value in iterate_weights(self.path):
            key = name.removeprefix(self.prefix)
            if name.startswith(self.prefix) and key in self.shapes:
                yield (our_name(key) if self.is_original else key), value


def original_source(path: Path, shapes: Mapping[str, Shape], prefix: str = "") -> SamSource:
    """A SAM in original names whose keys begin with `prefix`; shapes tell the architecture."""
    own = {
        key.removeprefix(prefix): shape for key, shape in shapes.items() if key.startswith(prefix)
    }
    own = {key: shape for key, shape in own.items() if key not in TOLERATED}
    try:
        config = config_from_shapes(own)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return SamSource(path=path, config=config, shapes=own, is_original=True, prefix=prefix)


def recognise_sam(path: Path) -> SamSource:
    """What SAM a file or folder is; ValueError when it is none."""
    if path.is_file():
        return original_source(path, read_shapes(path))
    if not (path / "config.json").is_file():
        raise ValueError(
            f"{path}: expected an original SAM file (sam_vit_h_4b8939.pth) or a folder of "
            "Transformers' SamModel with a config.json"
        )
    values = read_json(path / "config.json")
    if values.get("model_type") != MODEL_TYPE:
        raise ValueError(
            f"{path / 'config.json'}: model_type {values.get('model_type')!r}, expected "
            f"{MODEL_TYPE!r}: only the first Segment Anything Model is read here"
        )
    found = {key: shape for key, shape in read_shapes(path).items() if key != SHARED_POSITIONS}
    processor = path / "preprocessor_config.json"
    try:
        config = read_config(values, read_json(processor) if processor.is_file() else None)
    except (StrictDataclassError, ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path / 'config.json'}: no SAM that is read here ({reason})") from error
    return SamSource(path=path, config=config, shapes=found, is_original=False)


def empty_sam(config: SamConfig) -> Sam:
    """A SAM without memory for its weights (on the meta device)."""
    with torch.device("meta"):
        return Sam(config)


def fill_sam(
    sam: Sam,
    weights: Iterable[tuple[str, Tensor]],
    *,
    device: torch.device | str,
    dtype: torch.dtype,
) -> None:
    """Put weights under our names into a SAM, each brought to device and dtype as it comes.

    RuntimeError, naming the keys, when they are not those of the architecture.
    """
    state = {key: cast_weight(value, dtype).to(device) for key, value in weights}
    state[SHARED_POSITIONS] = state[POSITIONS]
    sam.model.load_state_dict(state, assign=True)
    tie_positions(sam.model)


def load_sam(
    name_or_path: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Sam:
    """The SAM in an original file, a folder of Transformers' or a hub id, in evaluation mode.

    ValueError, naming the keys, when the weights are not exactly those of the architecture.
    """
    source = recognise_sam(find_model(name_or_path))
    report = source.compare()
    if not report.is_clean:
        raise ValueError(f"{source.path}: {report.summary()}")
    sam = empty_sam(source.config)
    fill_sam(sam, source.weights(), device=device, dtype=dtype)
    return sam.eval()


def save_sam(
    sam: Sam,
    folder: str | Path,
    *,
    card: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
    overwrite: bool = False,
) -> None:
    """Write a folder that Transformers' `SamModel` is loaded from, with `model_card.json`."""
    config = to_transformers(sam.config).to_dict() | {"architectures": ["SamModel"]}
    facts = {"parameters": sum(value.numel() for value in sam.parameters())}
    with atomic_folder(folder, overwrite=overwrite) as part:
        write_weights(part, cast_weights(sam_weights(sam), dtype))
        write_text(part / "config.json", json.dumps(config, indent=2) + "\n")
        write_text(
            part / "preprocessor_config.json",
            json.dumps(processor_config(sam.config), indent=2) + "\n",
        )
        write_text(part / "model_card.json", json.dumps({**(card or {}), **facts}, indent=2) + "\n")


def export_original(sam: Sam, file: str | Path, *, dtype: torch.dtype = torch.float32) -> None:
    """Write a `.pth` under the original names, as `segment_anything` loads it.

    ValueError for a SAM with a setting that such a file cannot state and that is not the
    published one, as another number of heads in the decoder.
    """
    if others := unstated(sam):
        raise ValueError(f"{file}: an original SAM file cannot state {', '.join(others)}")
    with atomic_path(file) as part:
        cast = cast_weights(original_weights(sam), dtype)
        torch.save({key: value.cpu().contiguous() for key, value in cast.items()}, part)


def original_weights(sam: Sam) -> dict[str, Tensor]:
    """The weights under their original names."""
    return {original_name(key): value for key, value in sam_weights(sam).items()}


def unstated(sam: Sam) -> list[str]:
    """The settings that original weights do not tell, and that are not the published ones."""
    shapes = {key: tuple(value.shape) for key, value in original_weights(sam).items()}
    told, stated = config_from_shapes(shapes).to_dict(), sam.config.to_dict()
    return [f"{name} {stated[name]}" for name in stated if stated[name] != told[name]]
