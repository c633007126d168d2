"""Losses of masks, each as it was published.

MLCD-Seg's cross-entropy and Dice are those of LISA (Lai et al., CVPR 2024). Focal loss: Lin et al.,
ICCV 2017; Dice over sums of pixels: Milletari et al., 3DV 2016, both as the Segment Anything Model
was trained with.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

_DICE_SCALE, _DICE_EPS = 1000.0, 1e-6


def mask_cross_entropy(logits: Sequence[Tensor], masks: Sequence[Tensor]) -> Tensor:
    """Binary cross-entropy, the mean of each mask's mean over its pixels: [(H, W)] -> ().

    Every mask counts the same, whatever its size. 0 of no masks.
    """
    each = [
        binary_cross_entropy_with_logits(own.float(), mask.float())
        for own, mask in zip(logits, masks, strict=True)
    ]
    return torch.stack(each).mean() if each else torch.zeros(())


def mask_dice(logits: Sequence[Tensor], masks: Sequence[Tensor]) -> Tensor:
    """1 - (2 sum(pg)/1000 + 1e-6) / (sum(p)/1000 + sum(g)/1000 + 1e-6), p = sigmoid(logits), the
    mean over masks: [(H, W)] -> (). 0 of no masks.
    """
    each: list[Tensor] = []
    for own, mask in zip(logits, masks, strict=True):
        probability, true = own.float().sigmoid(), mask.float()
        both = 2 * (probability * true).sum() / _DICE_SCALE
        sums = probability.sum() / _DICE_SCALE + true.sum() / _DICE_SCALE
        each.append(1 - (both + _DICE_EPS) / (sums + _DICE_EPS))
    return torch.stack(each).mean() if each else torch.zeros(())


def focal_loss(logits: Tensor, masks: Tensor, *, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Focal loss of each mask, the mean over its pixels: (..., H, W) -> (...)."""
    true = masks.float()
    entropy = binary_cross_entropy_with_logits(logits, true, reduction="none")
    missed = (logits.sigmoid() - true).abs()
    weight = alpha * true + (1 - alpha) * (1 - true)
    return (weight * missed**gamma * entropy).flatten(-2).mean(-1)


def dice_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """1 - (2 sum(pg) + 1) / (sum(p) + sum(g) + 1) of each mask: (..., H, W) -> (...)."""
    probability, true = logits.sigmoid().flatten(-2), masks.float().flatten(-2)
    both = 2 * (probability * true).sum(-1)
    return 1 - (both + 1) / (probability.sum(-1) + true.sum(-1) + 1)


@torch.no_grad()
def mask_iou(logits: Tensor, masks: Tensor) -> Tensor:
    """Intersection over union where the logits are above 0: (..., H, W) -> (...)."""
    found, true = (logits > 0).flatten(-2), masks.bool().flatten(-2)
    union = (found | true).sum(-1)
    return (found & true).sum(-1) / union.clamp(min=1)
