"""pytorch-metric-learning finds the same metrics on the same embeddings (`make peers`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlcd.apps.retrieval.metrics import summarize
from mlcd.apps.retrieval.rankings import rank_relevant
from mlcd.apps.retrieval.vectors import Vectors

pytestmark = pytest.mark.peers


def embeddings(count: int, num_labels: int, *, seed: int) -> tuple[Vectors, list[int]]:
    """Vectors around the centre of their label, (count, 16), and labels that all occur twice."""
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(num_labels), random.permutation(num_labels)])
    labels = np.concatenate([labels, random.integers(0, num_labels, count - 2 * num_labels)])
    centres = np.random.default_rng(99).standard_normal((num_labels, 16))
    vectors = centres[labels] + 1.2 * random.standard_normal((count, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), labels.tolist()


def ours(
    queries: Vectors,
    query_labels: list[int],
    gallery: Vectors,
    gallery_labels: list[int],
    *,
    is_same: bool,
) -> dict[str, float]:
    own: list[int | None] = [place if is_same else None for place in range(len(queries))]
    depth = len(gallery)
    ranked = rank_relevant(queries, gallery, query_labels, gallery_labels, own=own, depth=depth)
    return summarize({"ranks": r.ranks, "relevant": r.num_relevant, "depth": depth} for r in ranked)


def theirs(*arguments: Any, k: int | str, include: tuple[str, ...]) -> dict[str, float]:
    import torch
    from pytorch_metric_learning.distances import CosineSimilarity
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    class WithRecall(AccuracyCalculator):
        """R@K as its documentation tells to add a metric."""

        def calculate_recall_at_10(
            self, knn_labels: torch.Tensor, query_labels: torch.Tensor, **_: object
        ) -> float:
            found = (knn_labels[:, :10] == query_labels[:, None]).any(dim=1)
            return float(found.double().mean())

        def requires_knn(self) -> list[str]:
            return [*super().requires_knn(), "recall_at_10"]

    calculator = WithRecall(include=include, k=k, knn_func=CustomKNN(CosineSimilarity()))
    tensors = [torch.as_tensor(argument) for argument in arguments]
    found: dict[str, float] = calculator.get_accuracy(*tensors)
    return found


NAMES = {
    "R@1": "precision_at_1",
    "R@10": "recall_at_10",
    "R-Precision": "r_precision",
    "MAP@R": "mean_average_precision_at_r",
}


def test_a_set_that_asks_itself() -> None:
    vectors, labels = embeddings(400, 20, seed=6)
    peer = theirs(vectors, labels, k="max_bin_count", include=tuple(NAMES.values()))
    own = ours(vectors, labels, vectors, labels, is_same=True)
    assert {name: own[name] for name in NAMES} == pytest.approx(
        {name: peer[peers] for name, peers in NAMES.items()}
    )
    assert 0.1 < own["R@1"] < own["R@10"] < 1


def test_queries_against_a_gallery() -> None:
    queries, query_labels = embeddings(70, 20, seed=7)
    gallery, gallery_labels = embeddings(300, 20, seed=8)
    peer = theirs(
        queries, query_labels, gallery, gallery_labels,
        k="max_bin_count", include=tuple(NAMES.values()),
    )  # fmt: skip
    own = ours(queries, query_labels, gallery, gallery_labels, is_same=False)
    assert {name: own[name] for name in NAMES} == pytest.approx(
        {name: peer[peers] for name, peers in NAMES.items()}
    )


def test_map_at_100_where_the_100_nearest_are_all_others() -> None:
    """Further down the two definitions part: theirs divides by what was found, not by what is."""
    vectors, labels = embeddings(101, 9, seed=9)
    peer = theirs(vectors, labels, k=100, include=("mean_average_precision",))
    own = ours(vectors, labels, vectors, labels, is_same=True)
    assert own["mAP@100"] == pytest.approx(peer["mean_average_precision"])
