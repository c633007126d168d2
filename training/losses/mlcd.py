"""The MLCD loss: several own classes and the sampled others pulled apart independently."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from mlcd.training.losses.cluster_loss import check_settings
from mlcd.training.losses.margin import MarginKind, with_margin


@dataclass(frozen=True, kw_only=True, slots=True)
class MLCD:
    """log(1 + sum_i e^(-s_i)) + log(1 + sum_j e^(s_j)), own classes i, sampled negatives j.

    MLCD (An et al. 2024), eq. 5, s_i = s cos(theta_i + m) and s_j = s cos(theta_j). Its appendix
    gives m = 0.3 on the own classes, as in ArcFace. The scale s is not stated: 64 is what UNICOM's
    line of code uses, and without it the loss hardly changes with 100,000 negatives. The 1 in each
    logarithm is a class of logit 0, a boundary at cosine 0 that no pair of classes shares.
    """

    logit_scale: float = 64.0
    margin: float = 0.3
    kind: MarginKind = "arcface"
    negative_filter: float | None = None

    def __post_init__(self) -> None:
        check_settings(self.logit_scale, self.margin, self.negative_filter)

    def __call__(self, positives: Tensor, is_positive: Tensor, negatives: Tensor) -> Tensor:
        """Loss (B,), as `ClusterLoss` has it."""
        own = -self.logit_scale * with_margin(positives, self.margin, self.kind)  # (B, L)
        own = own.masked_fill(~is_positive, -float("inf"))
        pulled = functional.pad(own, (0, 1)).logsumexp(dim=1)  # the padding is the 1
        return pulled + functional.softplus(negatives)
