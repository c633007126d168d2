"""Approximate indexes find nearly what exact search finds, and say how nearly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlcd.apps.retrieval import GalleryError
from mlcd.apps.retrieval.index import FaissIndex, IndexKind, check_kind, measured_recall
from mlcd.apps.retrieval.vectors import Vectors
from mlcd.core.nearest import exact_nearest

pytest.importorskip("faiss")


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    """Vectors in loose clusters, as embeddings are."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((200, 32))
    points = centres[rng.integers(0, 200, 12_000)] + 0.5 * rng.standard_normal((12_000, 32))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("kind", "least"), [("flat", 1.0), ("hnsw", 0.95), ("ivfpq", 0.9)])
def test_the_recall_that_is_measured_is_the_recall_of_a_loop(
    kind: IndexKind, least: float, vectors: Vectors
) -> None:
    index = FaissIndex.build(kind, vectors)
    recall = measured_recall(index, vectors, k=5, num_queries=40)
    sample = np.sort(np.random.default_rng(0).choice(len(vectors), 40, replace=False))
    found = 0
    for row in sample:
        scores = vectors @ vectors[row]
        scores[row] = -1
        nearest = set(np.argsort(-scores, kind="stable")[:5].tolist())
        found += len(nearest & set(index.propose(vectors[row][None], 6)[0].tolist()))
    assert recall == pytest.approx(found / 200, abs=0.011)  # two of 200 may tie or be batched apart
    assert recall >= least


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivfpq"])
def test_rows_that_are_not_live_are_never_proposed(kind: IndexKind, vectors: Vectors) -> None:
    index = FaissIndex.build(kind, vectors)
    live = np.arange(len(vectors)) % 2 == 0
    rows = index.propose(vectors[:50], 10, live=live)
    assert (rows[rows >= 0] % 2 == 0).all()
    assert (rows[::2, 0] >= 0).all()


@pytest.mark.parametrize("kind", ["hnsw", "ivfpq"])
def test_an_index_that_was_saved_proposes_the_same(
    kind: IndexKind, vectors: Vectors, tmp_path: Path
) -> None:
    index = FaissIndex.build(kind, vectors)
    index.save(tmp_path / "index-0.faiss")
    loaded = FaissIndex.load(kind, tmp_path / "index-0.faiss")
    np.testing.assert_array_equal(loaded.propose(vectors[:20], 5), index.propose(vectors[:20], 5))


def test_a_cut_index_file_is_refused_with_what_to_do(vectors: Vectors, tmp_path: Path) -> None:
    path = tmp_path / "index-0.faiss"
    FaissIndex.build("hnsw", vectors[:500]).save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(GalleryError, match="half written; run `mlcd retrieval rebuild"):
        FaissIndex.load("hnsw", path)


def test_a_flat_index_agrees_with_exact_search(vectors: Vectors) -> None:
    rows = FaissIndex.build("flat", vectors).propose(vectors[:30], 10)
    assert rows.tolist() == exact_nearest(vectors[:30], vectors, 10)[1].tolist()


def test_too_few_vectors_for_product_quantisation_are_refused(vectors: Vectors) -> None:
    with pytest.raises(ValueError, match=r"at least 9,984 vectors .* got 100"):
        FaissIndex.build("ivfpq", vectors[:100])


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="expected one of exact, flat, hnsw, ivfpq, got 'annoy'"):
        check_kind("annoy")
