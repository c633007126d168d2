"""Margin softmax: cross entropy over cosines, the own class made harder by a margin.

ArcFace (Deng et al. 2019, eq. 3) adds the margin to the angle, CosFace (Wang et al. 2018, eq. 4)
takes it from the cosine.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

IGNORED_LABEL = -100


class MarginSoftmax(nn.Module):
    """Prototypes (K, D) and the loss of embeddings against them."""

    def __init__(
        self,
        num_classes: int,
        embed_dim: int,
        *,
        logit_scale: float = 32.0,
        margin: float = 0.25,
        kind: Literal["arcface", "cosface"] = "arcface",
    ) -> None:
        super().__init__()
        if logit_scale <= 0 or not 0 <= margin < math.pi / 2:
            raise ValueError(
                f"expected logit_scale > 0 and 0 <= margin < pi/2, got {logit_scale} and {margin}"
            )
        self.logit_scale = logit_scale
        self.margin = margin
        self.kind = kind
        self.prototypes = nn.Parameter(torch.randn(num_classes, embed_dim) * embed_dim**-0.5)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of embeddings (B, D), of any length, with labels (B,); `IGNORED_LABEL` is left out.

        With every label ignored the loss is 0.
        """
        kept = labels != IGNORED_LABEL
        if not bool(kept.any()):
            return embeddings.sum() * 0.0
        labels = labels[kept]
        unit = functional.normalize(embeddings[kept], dim=-1)
        cosine = unit @ functional.normalize(self.prototypes, dim=-1).T  # (B, K)
        own = cosine.gather(1, labels[:, None])  # (B, 1)
        logits = cosine.scatter(1, labels[:, None], self._harder(own)) * self.logit_scale
        return functional.cross_entropy(logits, labels)

    def _harder(self, cosine: Tensor) -> Tensor:
        """The cosine of the own class after the margin."""
        if self.kind == "cosface":
            return cosine - self.margin
        cosine = cosine.clamp(-1 + 1e-6, 1 - 1e-6)
        sine = torch.sqrt(1 - cosine.square())
        turned = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        # Past an angle of pi - margin the sum would grow again; a straight line goes on falling.
        straight = cosine - self.margin * math.sin(math.pi - self.margin)
        return torch.where(cosine > math.cos(math.pi - self.margin), turned, straight)
