"""Weighted nearest neighbours, as DINO, DINOv2 and UNICOM measure a frozen tower.

A test picture is given the class with the most weight among its k nearest training pictures. The
weights are softmax(cosine / T) over the 200 nearest, of which the first k count (UNICOM's knn.py,
from DINOv2). DINO's first code took exp(cosine / T) instead: per picture that is the same up to a
factor, so the ranking of the classes is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlcd.core.nearest import exact_nearest
from mlcd.core.top_k import top_k

NEIGHBOURS = (10, 20, 100, 200)
TEMPERATURE = 0.07
TOP = 5


def vote(
    queries: NDArray[np.float32],
    bank: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    num_classes: int,
    neighbours: Sequence[int] = NEIGHBOURS,
    temperature: float = TEMPERATURE,
) -> tuple[NDArray[np.int64], dict[int, Tensor]]:
    """Rows of the nearest, best first, (Q, depth), and the classes' votes: {k: (Q, K)}.

    queries (Q, D) and bank (N, D), L2-normalised; labels (N,) from 0 to K - 1. `depth` is the
    largest of `neighbours` or N; the softmax runs over it. Equal cosines go by row.
    """
    depth = min(max(neighbours), len(bank))
    cosines, rows = exact_nearest(queries, bank, depth)
    weights = torch.softmax(torch.from_numpy(cosines) / temperature, dim=1)  # (Q, depth)
    classes = torch.from_numpy(labels[rows])  # (Q, depth)
    votes = {}
    for k in neighbours:
        empty = torch.zeros(len(queries), num_classes)
        votes[k] = empty.scatter_add_(1, classes[:, :k], weights[:, :k])  # (Q, K)
    return rows, votes


def best_classes(votes: Tensor) -> list[list[int]]:
    """The five classes with the most votes, best first and equal ones by number: (Q, K) -> Q lists.

    A class without a vote is no answer, so a list may be shorter: DINO's top-5 takes such classes
    too, by number, which on ten classes and few neighbours would be right by chance.
    """
    values, classes = top_k(votes, TOP)
    return [
        [label for label, value in zip(own, weights, strict=True) if value > 0]
        for own, weights in zip(classes.tolist(), values.tolist(), strict=True)
    ]


def draw_few_shot(
    labels: NDArray[np.int64], *, per_class: int, attempt: int, seed: int
) -> NDArray[np.int64]:
    """Rows of `per_class` random training pictures of each class, ascending: (N,) -> (n,).

    The draw is a function of (seed, per_class, attempt). ValueError: a class has fewer.
    """
    draw = np.random.default_rng((seed, per_class, attempt))
    chosen = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < per_class:
            raise ValueError(
                f"few-shot: {per_class} pictures of each class were asked for, class {label} has "
                f"{len(members)}"
            )
        chosen.append(draw.choice(members, per_class, replace=False))
    return np.sort(np.concatenate(chosen))


def summarize(samples: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Top-1 and top-5 accuracy of each vote, from the lines of `samples.jsonl`.

    A sample has its `label` and its `votes`: for each name of a vote, `k=20` or `5 a class, k=20`,
    one list of the best classes for each try. Few-shot accuracies are means over the tries.
    ValueError: no samples.
    """
    if not samples:
        raise ValueError("no samples: nothing was voted on")
    metrics = {}
    for name in samples[0]["votes"]:
        for top in (1, TOP):
            right = [
                sum(sample["label"] in best[:top] for best in sample["votes"][name])
                / len(sample["votes"][name])
                for sample in samples
            ]
            metrics[f"top-{top}, {name}"] = sum(right) / len(right)
    return metrics
