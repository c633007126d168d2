"""The arithmetic of one block of features: pure functions, the same in one process and in many.

Whoever drives them (this process or Ray) decides where blocks come from and adds up what they
give. Memory is a block of rows and a tile of scores, whatever the number of rows or prototypes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlcd.training.clusters.faiss_search import Search, nearest_by_faiss
from mlcd.training.clusters.nearest import nearest_few, nearest_one

BLOCK = 16_384  # rows that are read, and whose sums are kept, at once

Features = NDArray[np.float32] | NDArray[np.float16]
"""Rows (n, D), often memory-mapped."""


@dataclass(frozen=True, slots=True)
class PartialSums:
    """What a block adds to its clusters; only those that got a row are named."""

    clusters: NDArray[np.int64]
    """(u,), ascending."""
    sums: NDArray[np.float32]
    """Of the rows that are nearest to each: (u, D)."""
    counts: NDArray[np.int64]
    """How many they are: (u,)."""
    inertia: NDArray[np.float64]
    """Sum of the squared distances of these rows to it: (u,)."""


def partial_sums(
    block: Features, prototypes: Tensor, *, is_spherical: bool = True, search: Search = "torch"
) -> PartialSums:
    """The rows of a block summed by their nearest prototype: (b, D), (K, D).

    Spherical: rows are L2-normalised first and `prototypes` are taken to be; nearest is then the
    largest cosine, otherwise the smallest distance. Equal ones go to the lower prototype.
    """
    rows = block_rows(block, prototypes.device, is_spherical=is_spherical)
    nearest = nearest_by_faiss if search == "faiss" else nearest_one
    best, labels = nearest(rows, prototypes, is_spherical=is_spherical)
    clusters, inverse, counts = labels.unique(return_inverse=True, return_counts=True)
    # float32 is enough for a block, where few rows share a cluster; the total is in float64.
    sums = rows.new_zeros(len(clusters), rows.shape[1]).index_add_(0, inverse, rows)
    squares = torch.linalg.vector_norm(rows, dim=1).square()
    distances = (squares - 2 * best + 1) if is_spherical else (squares - best)
    inertia = torch.zeros(len(clusters), dtype=torch.float64, device=rows.device)
    inertia.index_add_(0, inverse, distances.clamp(min=0).double())
    return PartialSums(
        clusters.cpu().numpy(), sums.cpu().numpy(), counts.cpu().numpy(), inertia.cpu().numpy()
    )


def nearest_labels(
    block: Features, prototypes: Tensor, num_labels: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The `num_labels` prototypes of largest cosine, best first: (b, D), (K, D) -> (b, l), (b, l).

    Rows are L2-normalised first, `prototypes` are taken to be. Equal ones stand in their order.
    """
    rows = block_rows(block, prototypes.device, is_spherical=True)
    best, labels = nearest_few(rows, prototypes, num_labels)
    return labels.to(torch.int32).cpu().numpy(), best.cpu().numpy()


def block_rows(block: Features, device: torch.device, *, is_spherical: bool) -> Tensor:
    """A block as float32 on the device, L2-normalised when spherical: (b, D)."""
    rows = torch.from_numpy(np.array(block, dtype=np.float32)).to(device)
    if is_spherical:  # in place: another array of this size takes longer than the arithmetic
        rows /= torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_(min=1e-12)
    return rows


def ranges(total: int, size: int = BLOCK) -> list[tuple[int, int]]:
    """(start, stop) of the blocks of `total` rows."""
    return [(start, min(start + size, total)) for start in range(0, total, size)]
