"""Batches of several sizes in one pass: gathering those of one size, and giving each its part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class SizeGroup:
    """All pictures of one size, and which batches they came from."""

    pixels: Tensor
    """(B, 3, H, W), the batches one after the other."""
    members: tuple[int, ...]
    """Numbers of the batches."""
    counts: tuple[int, ...]
    """Pictures in each of them."""


def group_by_size(batches: Sequence[Tensor]) -> list[SizeGroup]:
    """The batches (B, 3, H, W), or single pictures (3, H, W), gathered by (H, W)."""
    batches = [pixels[None] if pixels.ndim == 3 else pixels for pixels in batches]
    members: dict[tuple[int, ...], list[int]] = {}
    for number, pixels in enumerate(batches):
        members.setdefault(tuple(pixels.shape[1:]), []).append(number)
    return [
        SizeGroup(
            pixels=batches[own[0]] if len(own) == 1 else torch.cat([batches[i] for i in own]),
            members=tuple(own),
            counts=tuple(len(batches[i]) for i in own),
        )
        for own in members.values()
    ]
