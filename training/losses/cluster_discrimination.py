"""Single-label cluster discrimination: cross entropy of one own logit against all others."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def cluster_discrimination(own: Tensor, negatives: Tensor) -> Tensor:
    """log(1 + sum_j e^(s_j - s_i)) of the own logit s_i (B,) and the negatives' log-sum-exp (B,).

    MLCD (An et al. 2024), eq. 3. It is the softmax cross entropy with the own class as target.
    """
    return functional.softplus(negatives - own)
