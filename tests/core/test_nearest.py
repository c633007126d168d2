"""Exact search in blocks agrees with a loop over all pairs, and FAISS agrees with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlcd.apps.retrieval.vectors import Vectors, append_vectors, map_vectors
from mlcd.core import nearest
from mlcd.core.nearest import exact_nearest


def unit_vectors(count: int, dim: int, seed: int) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def slow_nearest(queries: Vectors, vectors: Vectors, k: int, live: list[bool]) -> list[list[int]]:
    found = []
    for query in queries:
        scored = [(-float(query @ v), row) for row, v in enumerate(vectors) if live[row]]
        found.append([row for _, row in sorted(scored)[:k]])
    return found


@pytest.mark.parametrize("block", [7, 64, 10_000])
def test_blocks_of_any_size_find_what_a_loop_finds(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest, "BLOCK", block)
    monkeypatch.setattr(nearest, "QUERIES", 3)
    vectors, queries = unit_vectors(200, 8, seed=0), unit_vectors(5, 8, seed=1)
    live = np.random.default_rng(2).random(200) < 0.7
    scores, rows = exact_nearest(queries, vectors, 9, live=live)
    assert rows.tolist() == slow_nearest(queries, vectors, 9, live.tolist())
    expected = np.einsum("qd,qkd->qk", queries, vectors[rows])
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_where_fewer_are_left_than_asked_for_the_rest_is_marked() -> None:
    vectors = unit_vectors(5, 8, seed=0)
    live = np.array([True, False, False, True, False])
    scores, rows = exact_nearest(vectors[:1], vectors, 4, live=live)
    assert rows[0].tolist()[2:] == [-1, -1]
    assert np.isneginf(scores[0, 2:]).all()
    assert rows[0, 0] == 0


def test_a_mapped_file_is_searched_like_an_array(tmp_path: Path) -> None:
    vectors = unit_vectors(50, 8, seed=0)
    append_vectors(tmp_path / "vectors-0.f32", 0, vectors[:30])
    append_vectors(tmp_path / "vectors-0.f32", 30, vectors[30:])
    mapped = map_vectors(tmp_path / "vectors-0.f32", 50, 8)
    np.testing.assert_array_equal(mapped, vectors)
    _, rows = exact_nearest(vectors[:4], mapped, 3)
    assert rows.tolist() == exact_nearest(vectors[:4], vectors, 3)[1].tolist()


def test_faiss_called_directly_finds_the_same() -> None:
    faiss = pytest.importorskip("faiss")
    vectors, queries = unit_vectors(3000, 64, seed=0), unit_vectors(20, 64, seed=1)
    index = faiss.IndexFlatIP(64)
    index.add(vectors)
    scores, rows = index.search(queries, 10)
    ours = exact_nearest(queries, vectors, 10)
    assert ours[1].tolist() == rows.tolist()
    np.testing.assert_allclose(ours[0], scores, atol=1e-6)
