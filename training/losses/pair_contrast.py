"""Contrast between two pictures of the same: each finds its partner among all partners of a batch.

Symmetric InfoNCE (van den Oord et al. 2018, eq. 4; Radford et al. 2021, fig. 3).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def pair_contrast(first: Tensor, second: Tensor, *, logit_scale: float = 14.0) -> Tensor:
    """Mean loss over both directions; embeddings (B, D) of any length, row i belongs to row i."""
    if first.shape != second.shape or first.dim() != 2:
        raise ValueError(
            f"expected two (B, D) of the same shape, "
            f"got {tuple(first.shape)} and {tuple(second.shape)}"
        )
    cosine = functional.normalize(first, dim=-1) @ functional.normalize(second, dim=-1).T  # (B, B)
    own = torch.arange(len(first), device=first.device)
    logits = logit_scale * cosine
    return (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2
