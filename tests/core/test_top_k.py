"""The k best are those of a full stable sort, whatever the shape and the ties."""

from __future__ import annotations

import pytest
import torch

from mlcd.core.top_k import GROUP, top_k


@pytest.mark.parametrize("levels", [1, 3, 50, 10**6])
@pytest.mark.parametrize(
    ("queries", "columns", "k"),
    [(3, 1000, 1), (2, 20_000, 10), (4, GROUP + 1, GROUP + 1), (2, 10, 20), (5, 4 * GROUP + 3, 1)],
)
def test_the_best_columns_are_those_of_a_stable_sort(
    queries: int, columns: int, k: int, levels: int
) -> None:
    generator = torch.Generator().manual_seed(levels)
    scores = torch.randint(0, levels, (queries, columns), generator=generator).float() / 7
    values, found = top_k(scores, k)
    expected = torch.argsort(scores, dim=1, descending=True, stable=True)[:, :k]
    assert torch.equal(found, expected)
    assert torch.equal(values, scores.gather(1, expected))


def test_columns_that_are_ruled_out_come_last() -> None:
    scores = torch.full((1, 5 * GROUP), -torch.inf)
    scores[0, 200] = -2.0
    values, found = top_k(scores, 2)
    assert found[0, 0] == 200
    assert values.tolist() == [[-2.0, -torch.inf]]


@pytest.mark.parametrize(("columns", "k"), [(0, 3), (7, 0)])
def test_nothing_to_choose_from_or_nothing_asked_gives_nothing(columns: int, k: int) -> None:
    values, found = top_k(torch.zeros(2, columns), k)
    assert values.shape == found.shape == (2, 0)
