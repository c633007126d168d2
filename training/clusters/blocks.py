"""The arithmetic of one block of features: pure functions, the same in one process and in many.

Whoever drives them (this process or Ray) decides where blocks come from and adds up what they
give. Memory is a block of rows and a tile of scores, whatever the number of rows or prototypes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlcd.core.top_k import top_k
from mlcd.training.clusters.faiss_search import nearest_by_faiss

BLOCK = 16_384  # rows that are read, and whose sums are kept, at once
_ROWS, _COLUMNS = 1_024, 2_048  # a product of this size stays in the caches: a third quicker
_SCORES = 16 * _COLUMNS  # prototypes whose scores are ranked at once: with _ROWS, 128 MB

Search = Literal["torch", "faiss"]
"""What finds the nearest prototype; both give the same to rounding, on a GPU when there is one."""

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
    nearest = nearest_by_faiss if search == "faiss" else _nearest_one
    best, labels = nearest(rows, prototypes, is_spherical=is_spherical)
    clusters, inverse, counts = labels.unique(return_inverse=True, return_counts=True)
    # float32 is enough for a block, where few rows share a cluster; the total is in float64.
    sums = rows.new_zeros(len(clusters), rows.shape[1]).index_add_(0, inverse, rows)
    squares = (rows * rows).sum(dim=1)
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
    best: list[Tensor] = []
    labels: list[Tensor] = []
    buffer = rows.new_empty(min(_ROWS, len(rows)), min(_SCORES, len(prototypes)))
    for part in rows.split(_ROWS):
        values, columns = _ranked(part, prototypes[:_SCORES], num_labels, buffer)
        for first in range(_SCORES, len(prototypes), _SCORES):
            some = prototypes[first : first + _SCORES]
            found, where = _ranked(part, some, num_labels, buffer)
            # What was found before stands first, so equal similarities stay in order.
            values, chosen = top_k(torch.cat([values, found], dim=1), num_labels)
            columns = torch.cat([columns, where + first], dim=1).gather(1, chosen)
        best.append(values)
        labels.append(columns)
    return torch.cat(labels).to(torch.int32).cpu().numpy(), torch.cat(best).cpu().numpy()


def _ranked(
    rows: Tensor, prototypes: Tensor, num_labels: int, buffer: Tensor
) -> tuple[Tensor, Tensor]:
    """Cosines and numbers of the nearest of not too many prototypes: (b, l), (b, l)."""
    scores = buffer[: len(rows), : len(prototypes)]
    for start, tile in _tiles(prototypes):
        torch.mm(rows, tile.T, out=scores[:, start : start + len(tile)])
    return top_k(scores, num_labels)


def block_rows(block: Features, device: torch.device, *, is_spherical: bool) -> Tensor:
    """A block as float32 on the device, L2-normalised when spherical: (b, D)."""
    rows = torch.from_numpy(np.array(block, dtype=np.float32)).to(device)
    return torch.nn.functional.normalize(rows, dim=1) if is_spherical else rows


def ranges(total: int, size: int = BLOCK) -> list[tuple[int, int]]:
    """(start, stop) of the blocks of `total` rows."""
    return [(start, min(start + size, total)) for start in range(0, total, size)]


def _nearest_one(rows: Tensor, prototypes: Tensor, *, is_spherical: bool) -> tuple[Tensor, Tensor]:
    """Score and number of the nearest prototype: (b,), (b,).

    The score is the cosine or, of distances, 2 x.c - |c|^2: the larger, the nearer.
    """
    best = rows.new_full((len(rows),), -torch.inf)
    labels = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
    for start, tile in _tiles(prototypes):
        squares = None if is_spherical else (tile * tile).sum(dim=1)
        for first in range(0, len(rows), _ROWS):
            part = slice(first, first + _ROWS)
            scores = rows[part] @ tile.T
            if squares is not None:
                scores = scores.mul_(2).sub_(squares)
            values, columns = scores.max(dim=1)
            is_better = values > best[part]
            best[part] = torch.where(is_better, values, best[part])
            labels[part] = torch.where(is_better, columns + start, labels[part])
    return best, labels


def _tiles(prototypes: Tensor) -> Iterator[tuple[int, Tensor]]:
    for start in range(0, len(prototypes), _COLUMNS):
        yield start, prototypes[start : start + _COLUMNS]
