"""What an object looks like to a SAM, as one vector, and how alike two of them are."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, cosine_similarity


class Appearance(NamedTuple):
    """An object in one picture."""

    pooled: Tensor
    """(C,): the mean of the picture's embedding where the object is."""
    contrast: Tensor
    """(C,): by how much it differs from the mean of the whole picture; what all objects of a
    picture have in common would make all of them alike."""


def appearance_of(embedding: Tensor, mask: Tensor, valid: tuple[int, int]) -> Appearance | None:
    """The object under a mask: embedding (C, h, w), bool (s, s) of the same square.

    `valid`: rows and columns of the embedding that show picture, not padding. None when the mask
    touches no such cell.
    """
    rows, columns = valid
    grid = embedding.shape[-2], embedding.shape[-1]
    shares = adaptive_avg_pool2d(mask[None, None].float(), grid)[0, 0]
    shares = shares[:rows, :columns].to(embedding)
    if not bool(shares.sum() > 0):
        return None
    seen = embedding[:, :rows, :columns]
    pooled = (seen * shares).sum(dim=(1, 2)) / shares.sum()
    return Appearance(pooled, pooled - seen.mean(dim=(1, 2)))


def similarity(one: Appearance, other: Appearance) -> float:
    """How alike two objects look, -1 to 1: the cosine of their contrasts."""
    return float(cosine_similarity(one.contrast.float(), other.contrast.float(), dim=0))


def blended(old: Appearance, new: Appearance, share: float) -> Appearance:
    """`old`, moved towards `new` by a share of the way."""
    pooled, contrast = (torch.lerp(a, b, share) for a, b in zip(old, new, strict=True))
    return Appearance(pooled, contrast)


def stability(logits: Tensor, offset: float = 1.0) -> float:
    """How little a mask depends on where the threshold is, 0 to 1; 0 for an empty one.

    The IoU of the masks at `offset` above and below 0, of logits (M, s, s) taken together.
    Source: `segment_anything`'s `calculate_stability_score`.
    """
    highest = logits.amax(dim=0)
    outer = int((highest > -offset).sum())
    return int((highest > offset).sum()) / outer if outer else 0.0
