"""Groups of pictures that are nearly the same: who is close enough to a member joins the group."""

from __future__ import annotations

import numpy as np
import torch

from mlcd.apps.retrieval.vectors import Vectors

BLOCK = 2_048
ROUNDING = 1e-6  # what float32 loses in the cosine of two equal vectors


def duplicate_groups(vectors: Vectors, threshold: float) -> list[list[int]]:
    """Rows of L2-normalised `vectors` (N, D) whose cosine reaches `threshold`, in groups.

    A group is connected: its ends may be further apart than `threshold`. Groups of one are left
    out; rows ascend within a group and groups by their first row. Compares every pair, in blocks.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold: expected a cosine above 0 and up to 1, got {threshold}")
    parent = list(range(len(vectors)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    blocks = [
        (start, torch.from_numpy(np.asarray(vectors[start : start + BLOCK])))
        for start in range(0, len(vectors), BLOCK)
    ]
    for place, (top, upper) in enumerate(blocks):
        for left, lower in blocks[place:]:
            close = upper @ lower.T >= threshold - ROUNDING  # (block, block)
            if top == left:
                close = close.triu(diagonal=1)
            for first, second in close.nonzero().tolist():
                one, other = root(top + first), root(left + second)
                parent[max(one, other)] = min(one, other)

    groups: dict[int, list[int]] = {}
    for row in range(len(vectors)):
        groups.setdefault(root(row), []).append(row)
    return [rows for rows in groups.values() if len(rows) > 1]
