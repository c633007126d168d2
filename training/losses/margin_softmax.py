"""Margin softmax: cross entropy over cosines, the own class made harder by a margin.

The loss of UNICOM, of ArcFace and of CosFace; with margin 0 it is plain cluster discrimination.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mlcd.training.losses.cluster_discrimination import cluster_discrimination
from mlcd.training.losses.cluster_loss import check_settings
from mlcd.training.losses.margin import MarginKind, with_margin


@dataclass(frozen=True, kw_only=True, slots=True)
class MarginSoftmax:
    """-log(e^(s f(cos_i)) / (e^(s f(cos_i)) + sum_j e^(s cos_j))) with the margin f, one class i.

    Deng et al. 2019, eq. 3 (ArcFace); Wang et al. 2018, eq. 4 (CosFace). The margin is the MLCD
    paper's, which says that it follows UNICOM. The scale of UNICOM's pretraining is not stated
    anywhere; 64 is what the ArcFace trainer and the authors' later code use, and their
    fine-tuning scripts take 32.
    """

    logit_scale: float = 64.0
    margin: float = 0.3
    kind: MarginKind = "arcface"
    negative_filter: float | None = None

    def __post_init__(self) -> None:
        check_settings(self.logit_scale, self.margin, self.negative_filter)

    def __call__(self, positives: Tensor, is_positive: Tensor, negatives: Tensor) -> Tensor:
        """Loss (B,), as `ClusterLoss` has it; ValueError for more than one label a picture."""
        if is_positive.shape[1] != 1:
            raise ValueError(
                f"margin softmax takes one label a picture, got {is_positive.shape[1]}; pass "
                "labels[:, 0], the nearest cluster, or choose a loss for several"
            )
        own = self.logit_scale * with_margin(positives[:, 0], self.margin, self.kind)  # (B,)
        return cluster_discrimination(own, negatives)
