"""Metrics and rankings agree with a slow loop over a full sort."""

from __future__ import annotations

import numpy as np
import pytest

from mlcd.apps.retrieval import rankings
from mlcd.apps.retrieval.metrics import map_at_100, map_at_r, r_precision, recall_at_k, summarize
from mlcd.apps.retrieval.rankings import rank_relevant
from mlcd.apps.retrieval.vectors import Vectors

Sample = dict[str, object]


def embeddings(count: int, num_labels: int, *, seed: int) -> tuple[Vectors, list[int]]:
    """Vectors that lie near the centre of their label, and labels; some labels are rare."""
    rng = np.random.default_rng(seed)
    labels = np.minimum(rng.geometric(2 / num_labels, count), num_labels) - 1
    centres = rng.standard_normal((num_labels, 16))
    vectors = centres[labels] + 1.2 * rng.standard_normal((count, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), labels.tolist()


def samples_of(
    queries: Vectors,
    gallery: Vectors,
    query_labels: list[int],
    gallery_labels: list[int],
    own: list[int | None],
    depth: int,
) -> list[Sample]:
    ranked = rank_relevant(queries, gallery, query_labels, gallery_labels, own=own, depth=depth)
    return [
        {"id": str(r.query), "ranks": r.ranks, "relevant": r.num_relevant, "depth": depth}
        for r in ranked
    ]


def slow_metrics(
    queries: Vectors,
    gallery: Vectors,
    query_labels: list[int],
    gallery_labels: list[int],
    own: list[int | None],
) -> dict[str, float]:
    """Every metric by its definition, one query and one rank at a time."""
    totals: dict[str, float] = {}
    count = 0
    for q, query in enumerate(queries):
        order = sorted(
            (place for place in range(len(gallery)) if place != own[q]),
            key=lambda place: (-float(np.dot(gallery[place], query)), place),
        )
        right = [gallery_labels[place] == query_labels[q] for place in order]
        number = sum(right)
        if number == 0:
            continue
        count += 1
        scores = {f"R@{k}": float(any(right[:k])) for k in (1, 2, 4, 8, 10)}
        scores["R-Precision"] = sum(right[:number]) / number
        precision = [sum(right[: i + 1]) / (i + 1) for i in range(len(right))]
        scores["MAP@R"] = sum(precision[i] * right[i] for i in range(number)) / number
        first = range(min(100, len(right)))
        scores["mAP@100"] = sum(precision[i] * right[i] for i in first) / min(number, 100)
        for name, value in scores.items():
            totals[name] = totals.get(name, 0) + value
    return {name: value / count for name, value in totals.items()}


@pytest.mark.parametrize("block_scores", [1, 1_000, 10**7])
def test_a_set_that_asks_itself_agrees_with_the_loop(
    block_scores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rankings, "BLOCK_SCORES", block_scores)
    vectors, labels = embeddings(150, 12, seed=0)
    own: list[int | None] = list(range(150))
    metrics = summarize(samples_of(vectors, vectors, labels, labels, own, depth=150))
    slow = slow_metrics(vectors, vectors, labels, labels, own)
    assert {name: metrics[name] for name in slow} == pytest.approx(slow)


def test_queries_and_gallery_agree_with_the_loop_and_lone_queries_are_counted_apart() -> None:
    gallery, gallery_labels = embeddings(130, 10, seed=1)
    queries, query_labels = embeddings(40, 10, seed=2)
    query_labels[:3] = [77, 78, 79]
    own: list[int | None] = [None] * 40
    samples = samples_of(queries, gallery, query_labels, gallery_labels, own, depth=130)
    metrics = summarize(samples)
    slow = slow_metrics(queries, gallery, query_labels, gallery_labels, own)
    assert {name: metrics[name] for name in slow} == pytest.approx(slow)
    assert metrics["queries without a relevant picture"] == 3


def test_map_at_100_stops_at_rank_100_and_divides_by_at_most_100() -> None:
    assert map_at_100([1, 100, 101], 3) == pytest.approx((1 + 2 / 100) / 3)
    assert map_at_100(list(range(1, 151)), 150) == pytest.approx(1)


def test_ranks_by_hand_give_the_values_of_the_definitions() -> None:
    # relevant pictures at ranks 2 and 5, and a third that was never reached
    assert recall_at_k([2, 5], 1) == 0
    assert recall_at_k([2, 5], 2) == 1
    assert r_precision([2, 5], 3) == pytest.approx(1 / 3)
    assert map_at_r([2, 5], 3) == pytest.approx((1 / 2) / 3)
    assert map_at_100([2, 5], 3) == pytest.approx((1 / 2 + 2 / 5) / 3)


def test_a_duplicate_of_another_class_does_not_take_the_querys_own_place() -> None:
    """Counting the second hit as the first, as some code does, would call both right or wrong."""
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 0]]
    labels = [7, 8, 9, 7]  # 0, 1 and 3 are the same picture; 1 has another label
    ranked = list(rank_relevant(vectors, vectors, labels, labels, own=list(range(4)), depth=4))
    assert ranked[0].hits[0] == (1, 1.0)  # equal cosines come in the gallery's order
    assert ranked[0].ranks == [2]
    assert ranked[3].ranks == [1]
    assert all(place != r.query for r in ranked for place, _ in r.hits)


def test_equal_embeddings_tie_exactly_wherever_they_stand_in_the_matrix() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((1003, 48)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    places = [3, 500, 777, 1002]
    vectors[places] = vectors[3]
    labels = [0] * 1003
    for ranking in rank_relevant(
        vectors[:50] * 1.0, vectors, labels[:50], labels, own=[None] * 50, depth=1003
    ):
        assert ranking.ranks == list(range(1, 1004))
    (own,) = rank_relevant(vectors[3:4], vectors, [0], labels, own=[3], depth=5)
    assert [place for place, _ in own.hits[:3]] == [500, 777, 1002]
    assert len({cosine for _, cosine in own.hits[:3]}) == 1


def test_a_tower_that_sees_no_difference_gets_no_credit_for_it() -> None:
    vectors = np.tile(np.eye(1, 8, dtype=np.float32), (60, 1))
    labels = [place // 2 for place in range(60)]
    own: list[int | None] = list(range(60))
    metrics = summarize(samples_of(vectors, vectors, labels, labels, own, depth=60))
    assert metrics["R@1"] == pytest.approx(2 / 60)  # only the first pair stands first


def test_recall_is_given_for_the_depth_that_was_looked_at() -> None:
    vectors, labels = embeddings(60, 5, seed=3)
    own: list[int | None] = list(range(60))
    metrics = summarize(samples_of(vectors, vectors, labels, labels, own, depth=10))
    assert [name for name in metrics if name.startswith("R@")] == [
        "R@1", "R@2", "R@4", "R@8", "R@10",
    ]  # fmt: skip


def test_asking_a_part_of_the_queries_gives_that_part() -> None:
    vectors, labels = embeddings(30, 4, seed=4)
    own: list[int | None] = list(range(30))
    everything = list(rank_relevant(vectors, vectors, labels, labels, own=own, depth=30))
    part = rank_relevant(vectors, vectors, labels, labels, own=own, depth=30, asked=[4, 17])
    assert [(r.query, r.ranks) for r in part] == [(q, everything[q].ranks) for q in (4, 17)]


def test_what_does_not_fit_together_is_refused() -> None:
    vectors, labels = embeddings(10, 2, seed=5)
    with pytest.raises(ValueError, match="got 10, 9 and 10"):
        list(rank_relevant(vectors, vectors, labels, labels, own=[None] * 9, depth=5))
    with pytest.raises(ValueError, match="none of 1 queries has a relevant picture"):
        summarize([{"ranks": [], "relevant": 0, "depth": 5}])
