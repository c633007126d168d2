"""What can be said of an answer without a judge, by hand."""

from __future__ import annotations

import pytest

from mlcd.apps.embodied.overlap import measure_overlap


@pytest.mark.parametrize(
    ("prediction", "accepted", "exact", "f1", "contains"),
    [
        ("The mug.", ["a mug"], 1, 1, 1),
        ("a red mug on the desk", ["mug"], 0, 2 / 6, 1),  # the leading article is dropped
        ("on the desk", ["under the table", "the desk"], 0, 2 * 1 / 4, 1),
        ("desk", ["the desk"], 1, 1, 1),
        ("mugs", ["mug"], 0, 0, 0),
        ("", ["mug"], 0, 0, 0),
        ("mug mug", ["mug"], 0, 2 / 3, 1),
        ("down the put", ["put down"], 0, 2 * 2 / 5, 0),
    ],
)
def test_by_hand(
    prediction: str, accepted: list[str], exact: float, f1: float, contains: float
) -> None:
    found = measure_overlap(prediction, accepted)
    assert (found.exact, found.contains) == (exact, contains)
    assert found.f1 == pytest.approx(f1)


def test_no_accepted_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one accepted answer"):
        measure_overlap("mug", [])
