"""Counts how often a model's tower looks at tiles."""

from __future__ import annotations

import torch

from mlcd.core.language.vlm import VisionLanguageModel


def count_looks(vlm: VisionLanguageModel) -> list[int]:
    """A list that gets the number of tiles of every pass through the tower from now on."""
    looked: list[int] = []
    look = vlm.tower.hidden_state

    def counting(pixels: torch.Tensor, layer: int) -> torch.Tensor:
        looked.append(len(pixels))
        return look(pixels, layer)

    vlm.tower.hidden_state = counting  # type: ignore[method-assign]
    return looked
