"""The votes are those of a slow loop over DINOv2's definition; few-shot draws are seeded."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mlcd.training.probes.knn import best_classes, draw_few_shot, summarize, vote


def unit(count: int, dim: int, seed: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def slow_votes(
    query: NDArray[np.float32],
    bank: NDArray[np.float32],
    labels: list[int],
    *,
    classes: int,
    k: int,
    depth: int,
    temperature: float,
) -> list[float]:
    """Softmax over the `depth` nearest, of which the first k are added up class by class."""
    cosines = [float(np.dot(query.astype(np.float64), row.astype(np.float64))) for row in bank]
    nearest = sorted(range(len(bank)), key=lambda row: -cosines[row])[:depth]
    weights = [math.exp(cosines[row] / temperature) for row in nearest]
    votes = [0.0] * classes
    for row, weight in list(zip(nearest, weights, strict=True))[:k]:
        votes[labels[row]] += weight / sum(weights)
    return votes


@pytest.mark.parametrize("temperature", [0.07, 1.0])
@pytest.mark.parametrize(("size", "depth"), [(300, 50), (30, 30)])
def test_votes_are_those_of_the_loop(size: int, depth: int, temperature: float) -> None:
    bank, queries = unit(size, 6, seed=0), unit(9, 6, seed=1)
    labels = np.random.default_rng(2).integers(0, 7, size)
    rows, votes = vote(
        queries, bank, labels, num_classes=7, neighbours=(1, 5, 50), temperature=temperature
    )
    assert rows.shape == (9, depth)
    for k in (1, 5, 50):
        for query, found in zip(queries, votes[k], strict=True):
            expected = slow_votes(
                query, bank, labels.tolist(), classes=7, k=k, depth=depth, temperature=temperature
            )
            np.testing.assert_allclose(found, expected, atol=2e-6)


def test_the_first_code_of_dino_ranks_the_classes_alike() -> None:
    bank, queries = unit(300, 6, seed=0), unit(20, 6, seed=1)
    labels = np.random.default_rng(2).integers(0, 7, 300)
    rows, votes = vote(queries, bank, labels, num_classes=7, neighbours=(20, 200))
    cosines = np.einsum("qd,qkd->qk", queries, bank[rows])
    for k in (20, 200):
        theirs = torch.zeros(20, 7)
        for line in range(20):
            for row, cosine in list(zip(rows[line], cosines[line], strict=True))[:k]:
                theirs[line, labels[row]] += math.exp(cosine / 0.07)
        assert torch.equal(theirs.argsort(dim=1), votes[k].argsort(dim=1))


def test_far_neighbours_weigh_less_than_a_near_one() -> None:
    bank = np.array([[1, 0], [0.6, 0.8], [0.6, -0.8]], dtype=np.float32)
    labels = np.array([0, 1, 1])
    query = np.array([[1, 0]], dtype=np.float32)
    _, votes = vote(query, bank, labels, num_classes=2, neighbours=(3,))
    assert votes[3][0].argmax() == 0
    _, flat = vote(query, bank, labels, num_classes=2, neighbours=(3,), temperature=10)
    assert flat[3][0].argmax() == 1


def test_classes_without_a_vote_are_no_answer_and_equal_ones_go_by_number() -> None:
    votes = torch.tensor([[0, 0.2, 0, 0.5, 0.2], [1, 0, 0, 0, 0], [0.1, 0.2, 0.3, 0.2, 0.2]])
    assert best_classes(votes) == [[3, 1, 4], [0], [2, 1, 3, 4, 0]]
    wide = torch.arange(1, 9).float()[None]
    assert best_classes(wide) == [[7, 6, 5, 4, 3]]


def test_few_shot_draws_are_of_every_class_and_follow_from_the_seed() -> None:
    labels = np.random.default_rng(0).integers(0, 5, 200)
    rows = draw_few_shot(labels, per_class=3, attempt=0, seed=0)
    assert np.bincount(labels[rows]).tolist() == [3] * 5
    assert (np.diff(rows) > 0).all()
    assert rows.tolist() == draw_few_shot(labels, per_class=3, attempt=0, seed=0).tolist()
    others = [
        draw_few_shot(labels, per_class=3, attempt=attempt, seed=seed).tolist()
        for attempt, seed in ((1, 0), (0, 1))
    ]
    assert rows.tolist() not in others
    with pytest.raises(ValueError, match="class 4 has 2"):
        draw_few_shot(np.array([0, 0, 0, 4, 4]), per_class=3, attempt=0, seed=0)


def test_accuracies_come_from_the_samples() -> None:
    samples = [
        {"label": 3, "votes": {"k=1": [[3, 1]], "2 a class, k=1": [[3, 1], [1, 0]]}},
        {"label": 1, "votes": {"k=1": [[3, 1]], "2 a class, k=1": [[0, 1], [1, 0]]}},
    ]
    assert summarize(samples) == {
        "top-1, k=1": 0.5,
        "top-5, k=1": 1.0,
        "top-1, 2 a class, k=1": 0.5,
        "top-5, 2 a class, k=1": 0.75,
    }
    with pytest.raises(ValueError, match="no samples"):
        summarize([])
