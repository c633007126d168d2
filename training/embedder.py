"""A tower as training sees it: pictures as bytes in, embeddings out."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mlcd.core.towers import VisionTower


class Embedder(nn.Module):
    """A tower and, where the loss works in another width than the tower's, a projection.

    The projection belongs to the training: the papers trained with one that their released files
    do not carry, and neither do ours.
    """

    _mean: Tensor
    _scale: Tensor

    def __init__(self, tower: VisionTower, *, embed_dim: int | None = None) -> None:
        """`embed_dim`: width of the embeddings; without it, or if equal, no projection."""
        super().__init__()
        self.tower = tower
        width = tower.config.output_dim
        self.projection: nn.Linear | None = None
        if embed_dim not in (None, width):
            assert embed_dim is not None
            self.projection = nn.Linear(width, embed_dim, bias=False)
            nn.init.normal_(self.projection.weight, std=width**-0.5)
        preprocess = tower.config.preprocess
        for name, values in (("_mean", preprocess.mean), ("_scale", preprocess.std)):
            in_bytes = torch.tensor(values) / preprocess.rescale_factor
            self.register_buffer(name, in_bytes, persistent=False)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Embeddings (B, E), not normalised, of `images` uint8 (B, S, S, 3)."""
        pixels = (batch["images"] - self._mean) / self._scale  # (B, S, S, 3)
        embeddings: Tensor = self.tower(pixels.permute(0, 3, 1, 2)).pooled
        return embeddings if self.projection is None else self.projection(embeddings)
