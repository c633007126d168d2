"""What the rows of a run were made of, and in words what differs between two such stamps."""

from __future__ import annotations

from typing import Any

import torch

from mlcd.core.embedding.stream import EmbeddingTower
from mlcd.core.pictures import PictureSource

_FORMAT = 2


def run_stamp(tower: EmbeddingTower, pictures: PictureSource) -> dict[str, Any]:
    """What must be equal for two runs to give the same rows."""
    return {
        "format": _FORMAT,
        "tower": str(getattr(tower, "name", type(tower).__name__)),
        "weights_sha256": tower.weights_sha256(),
        "number_type": _number_type(tower),
        "preprocess": tower.config.preprocess.to_dict(),
        "pictures": len(pictures),
        "pictures_sha256": pictures.digest(),
    }


def _number_type(tower: EmbeddingTower) -> str:
    """In which numbers it computes, which its digest does not say: rows of two kinds do not mix."""
    if not isinstance(tower, torch.nn.Module):
        return "float32"
    kinds = {
        str(tensor.dtype).removeprefix("torch.")
        for tensor in tower.state_dict().values()
        if isinstance(tensor, torch.Tensor)
    }
    return "+".join(sorted(kinds))


def differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between two stamps, in words."""
    said = []
    if then.get("format") != now["format"]:
        said.append(f"the format of the files ({then.get('format')} then, {now['format']} now)")
    if then.get("weights_sha256") != now["weights_sha256"]:
        said.append(f"the tower's weights ({then.get('tower')} then, {now['tower']} now)")
    for name, what in (("number_type", "the tower's number type"), ("preprocess", "preprocessing")):
        if then.get(name) != now[name]:
            said.append(f"{what} ({then.get(name)} then, {now[name]} now)")
    if then.get("pictures") != now["pictures"]:
        said.append(f"the pictures ({then.get('pictures')} then, {now['pictures']} now)")
    elif then.get("pictures_sha256") != now["pictures_sha256"]:
        said.append("the pictures (as many, but a name, size or time of change differs)")
    return said
