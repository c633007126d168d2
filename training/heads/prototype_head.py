"""All classes on one process, with a dense gradient, for any optimizer: a few thousand classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mlcd.training.heads.similarities import SimilaritySettings, similarities
from mlcd.training.losses.cluster_loss import ClusterLoss

IGNORED_LABEL = -100
"""As in torch's cross entropy; every negative label is left out."""


class PrototypeHead(nn.Module):
    """Prototypes (K, D) and the loss of embeddings against all of them."""

    def __init__(
        self, num_classes: int, embed_dim: int, *, loss: ClusterLoss, block_size: int = 2048
    ) -> None:
        super().__init__()
        self.loss = loss
        self.block_size = block_size
        self.prototypes = nn.Parameter(torch.randn(num_classes, embed_dim) * embed_dim**-0.5)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of embeddings (B, D), of any length, with labels (B,).

        `IGNORED_LABEL` is left out; with every label ignored the loss is 0.
        """
        kept = labels >= 0
        labels = labels[kept, None]  # (B, 1)
        settings = SimilaritySettings(
            logit_scale=self.loss.logit_scale,
            negative_filter=self.loss.negative_filter,
            block_size=self.block_size,
        )
        units = functional.normalize(embeddings[kept].to(self.prototypes.dtype), dim=1)
        own, negatives = similarities(units, self.prototypes, labels, settings)
        losses = self.loss(own, labels >= 0, negatives)
        return losses.sum() / max(1, len(losses))
