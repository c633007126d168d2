"""Several labels as that many softmaxes, side by side: what the authors' later code trains with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mlcd.training.losses.cluster_loss import check_settings
from mlcd.training.losses.margin import MarginKind, with_margin


@dataclass(frozen=True, kw_only=True, slots=True)
class IndependentSoftmax:
    """Mean over own i of -log(e^(s f(cos_i)) / (e^(s f(cos_i)) + sum_(j != i) e^(s cos_j))).

    In the sum over j the picture's other own classes count as negatives, damped by the filter
    alone. Numbers as in OneVision-Encoder's trainer: CosFace 0.3, filter 0.75, scale 64. That code
    draws other negatives for each column, here all share one sample; it reports the mean and
    follows the gradient of the sum, here the gradient is the mean's.
    """

    logit_scale: float = 64.0
    margin: float = 0.3
    kind: MarginKind = "cosface"
    negative_filter: float | None = 0.75

    def __post_init__(self) -> None:
        check_settings(self.logit_scale, self.margin, self.negative_filter)

    def __call__(self, positives: Tensor, is_positive: Tensor, negatives: Tensor) -> Tensor:
        """Loss (B,), as `ClusterLoss` has it."""
        own = self.logit_scale * with_margin(positives, self.margin, self.kind)  # (B, L)
        other = positives
        if self.negative_filter is not None:
            other = other.masked_fill(other > self.negative_filter, 0.0)
        other = (self.logit_scale * other).masked_fill(~is_positive, -float("inf"))
        columns = positives.shape[1]
        itself = torch.eye(columns, dtype=torch.bool, device=positives.device)
        logits = torch.where(itself, own[:, :, None], other[:, None, :])  # (B, L, L)
        everything = torch.cat([logits, negatives[:, None, None].expand(-1, columns, 1)], dim=2)
        losses = (everything.logsumexp(dim=2) - own).masked_fill(~is_positive, 0.0)  # (B, L)
        return losses.sum(dim=1) / is_positive.sum(dim=1).clamp(min=1)
