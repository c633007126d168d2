"""Groups of near duplicates are the connected parts that a loop over all pairs finds."""

from __future__ import annotations

import numpy as np
import pytest

from mlcd.apps.retrieval import near_duplicates
from mlcd.apps.retrieval.near_duplicates import duplicate_groups


@pytest.mark.parametrize("block", [5, 1000])
def test_groups_are_connected_parts_whatever_the_block(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_duplicates, "BLOCK", block)
    vectors = np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    group = list(range(60))
    for _ in range(60):  # spread the lowest label until nothing changes
        for i in range(60):
            for j in range(60):
                if float(vectors[i] @ vectors[j]) >= 0.97:
                    group[i] = group[j] = min(group[i], group[j])
    expected = [
        [row for row in range(60) if group[row] == first]
        for first in sorted(set(group))
        if group.count(first) > 1
    ]
    assert len(expected) > 2
    assert duplicate_groups(vectors, 0.97) == expected


def test_equal_vectors_are_a_group_even_at_a_cosine_of_one() -> None:
    vectors = np.random.default_rng(1).standard_normal((20, 96)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[[4, 11, 19]] = vectors[4]
    assert duplicate_groups(vectors, 1.0) == [[4, 11, 19]]


@pytest.mark.parametrize("threshold", [0, -0.5, 1.1, float("nan")])
def test_a_threshold_that_is_no_cosine_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold: expected a cosine above 0"):
        duplicate_groups(np.eye(2, dtype=np.float32), threshold)
