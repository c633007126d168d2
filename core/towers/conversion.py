"""A tower from one format to another, read again and compared: nobody has to trust the writing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from mlcd.core.checkpoint import cast_weight, read_dtypes
from mlcd.core.files import atomic_folder
from mlcd.core.models import find_model
from mlcd.core.towers.config import TowerConfig
from mlcd.core.towers.huggingface import export_huggingface, write_config
from mlcd.core.towers.loading import load_tower, save_tower
from mlcd.core.towers.vit import VisionTower

Format = Literal["huggingface", "ours"]

_TOLERANCE = 1e-4  # between two computations with the same weights


@dataclass(frozen=True, kw_only=True, slots=True)
class Converted:
    """What `convert_tower` wrote."""

    config: TowerConfig
    dtype: str
    """Number type of the weights on disk."""
    max_difference: float
    """Between the tokens and embeddings of the written tower and of the source with its weights
    rounded to the same number type.
    """
    cosine_to_source: float
    """Of the embeddings of the written tower and of the source as it was, on noise."""


def convert_tower(
    name_or_path: str | Path,
    folder: str | Path,
    *,
    format: Format = "huggingface",  # noqa: A002 - what it is called
    dtype: str | None = None,
    resize: int | None = None,
    image_size: int | None = None,
    overwrite: bool = False,
) -> Converted:
    """Write a tower into `folder`, load it from there and compare what the two compute.

    `dtype` (a name of torch's) is by default that of the source; `resize` gives it another image
    size (the unicom form); `image_size` as for `load_tower`. ValueError for a form that the format
    has no class for, and when what was written computes something else: then nothing is left.
    """
    path = find_model(name_or_path)
    tower = load_tower(path, image_size=image_size)
    if resize is not None and resize != tower.config.image_size:
        tower = tower.resized(resize)
    config = tower.config
    if format == "huggingface":
        _refuse_without_class(config)
    number_type: torch.dtype = getattr(torch, dtype) if dtype else _widest_type(path)
    source = _compute(tower)
    _round(tower, number_type)
    expected = _compute(tower)
    _refuse_overflow(expected, number_type)
    with atomic_folder(folder, overwrite=overwrite) as part:
        if format == "huggingface":
            export_huggingface(tower, part, dtype=number_type)
        else:
            save_tower(tower, part, card={"source": str(name_or_path)}, dtype=number_type)
        del tower  # a large one need not be there twice
        written = _compute(load_tower(part))
        difference = _largest_difference(written, expected)
        if not difference <= _TOLERANCE:
            raise ValueError(
                f"{folder} was not written: read again, the tower computes something else than "
                f"its source (largest difference {difference:g})"
            )
    return Converted(
        config=config,
        dtype=str(number_type).removeprefix("torch."),
        max_difference=difference,
        cosine_to_source=float(torch.cosine_similarity(written[1], source[1])),
    )


def _widest_type(path: Path) -> torch.dtype:
    """The floating type that holds every weight of a file exactly; float32 at the most."""
    kinds = {getattr(torch, name) for name in read_dtypes(path).values() if "float" in name}
    widest = reduce(torch.promote_types, kinds)
    return torch.float32 if widest == torch.float64 else widest


def _round(tower: VisionTower, number_type: torch.dtype) -> None:
    """Give the weights the values that they will have on disk."""
    rounded = {
        key: cast_weight(cast_weight(value, number_type), torch.float32)
        for key, value in tower.state_dict().items()
    }
    tower.load_state_dict(rounded, assign=True)


def _refuse_without_class(config: TowerConfig) -> None:
    try:
        write_config(config)
    except ValueError as error:
        raise ValueError(f"{error}: --format ours") from error


def _refuse_overflow(outputs: tuple[Tensor, Tensor], number_type: torch.dtype) -> None:
    if not all(output.isfinite().all() for output in outputs):
        raise ValueError(
            f"with its weights in {number_type} the tower gives no finite numbers; "
            "choose another dtype, or its weights are broken"
        )


def _largest_difference(new: tuple[Tensor, Tensor], old: tuple[Tensor, Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(new, old, strict=True))


@torch.no_grad()
def _compute(tower: VisionTower) -> tuple[Tensor, Tensor]:
    """Tokens and embedding of one picture of noise, always the same."""
    size = tower.config.image_size
    noise = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    output = tower(noise)
    return output.tokens, output.pooled
