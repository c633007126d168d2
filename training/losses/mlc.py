"""Multi-label classification without the separation of MLCD: for the ablation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from mlcd.training.losses.cluster_loss import check_settings
from mlcd.training.losses.margin import MarginKind, with_margin


@dataclass(frozen=True, kw_only=True, slots=True)
class MLC:
    """log(1 + sum_j e^(s_j) sum_i e^(-s_i)), own classes i, sampled negatives j.

    MLCD (An et al. 2024), eq. 4. It only sees how far own classes and negatives are from each
    other, not where both of them are. Scale and margin as in `MLCD`.
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
        # Finite, so that a picture without any class has a gradient of 0 and not NaN.
        own = own.masked_fill(~is_positive, -1e30)
        return functional.softplus(negatives + own.logsumexp(dim=1))
