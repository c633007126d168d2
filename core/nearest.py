"""Exact search on torch alone: the nearest of many vectors, a block at a time.

Memory is one block of scores, whatever the number of vectors; these may be memory-mapped.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlcd.core.top_k import top_k

Embeddings = NDArray[np.float32]
"""Rows of float32, L2-normalised: (N, D)."""

BLOCK = 16_384  # vectors scored at once
QUERIES = 256  # queries scored at once: with BLOCK, 16 MB of scores


def exact_nearest(
    queries: Embeddings, vectors: Embeddings, k: int, *, live: NDArray[np.bool_] | None = None
) -> tuple[Embeddings, NDArray[np.int64]]:
    """Cosines and rows of the `k` nearest of every query, best first, equal ones by row.

    queries (Q, D), vectors (N, D) -> (Q, k), (Q, k). Rows whose `live` (N,)
    is False are never found; where fewer than `k` are left, the score is -inf and the row -1.
    """
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    rows = np.full((len(queries), k), -1, dtype=np.int64)
    for start in range(0, len(queries), QUERIES):
        part = slice(start, start + QUERIES)
        best, found = _nearest(
            torch.from_numpy(np.ascontiguousarray(queries[part])), vectors, k, live
        )
        scores[part, : best.shape[1]] = best.numpy()
        rows[part, : best.shape[1]] = found.numpy()
    rows[np.isneginf(scores)] = -1
    return scores, rows


def _nearest(
    queries: Tensor, vectors: Embeddings, k: int, live: NDArray[np.bool_] | None
) -> tuple[Tensor, Tensor]:
    best = torch.empty(len(queries), 0)
    rows = torch.empty(len(queries), 0, dtype=torch.int64)
    for start in range(0, len(vectors), BLOCK):
        block = torch.from_numpy(vectors[start : start + BLOCK])
        scores = queries @ block.T  # (Q, block)
        if live is not None:
            dead = np.flatnonzero(~live[start : start + BLOCK])
            scores[:, torch.from_numpy(dead)] = -torch.inf
        values, columns = top_k(scores, k)
        # What was found before stands first and has the lower rows, so equal scores stay by row.
        best, chosen = top_k(torch.cat([best, values], dim=1), k)
        rows = torch.cat([rows, columns + start], dim=1).gather(1, chosen)
    return best, rows
