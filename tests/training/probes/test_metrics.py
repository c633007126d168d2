"""Metrics of the linear probe against what their definitions say, by hand and by a loop."""

from __future__ import annotations

import numpy as np
import pytest

from mlcd.training.probes.metrics import class_accuracies, eleven_point_ap, summarize


def sample(label: int, *top: int) -> dict[str, object]:
    return {"label": label, "top": list(top)}


def test_the_mean_over_the_classes_weighs_a_rare_class_like_a_common_one() -> None:
    samples = [sample(0, 0, 1)] * 6 + [sample(0, 2, 1)] * 2 + [sample(1, 0, 1), sample(7, 0, 1)]
    assert class_accuracies(samples) == {0: 0.75, 1: 0.0, 7: 0.0}
    assert summarize(samples) == pytest.approx(
        {"accuracy": 0.6, "top-5": 0.7, "mean-per-class": 0.25}
    )
    with pytest.raises(ValueError, match="no samples"):
        summarize([])


def slow_eleven_points(scores: list[float], is_positive: list[bool]) -> float:
    """The definition, with the precision looked for anew at each recall."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    total, points = sum(is_positive), []
    for cut in range(1, len(order) + 1):
        right = sum(is_positive[i] for i in order[:cut])
        points.append((right, right / cut))
    return sum(
        max(precision for right, precision in points if right * 10 >= tenth * total)
        for tenth in range(11)
    ) / 11  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_eleven_point_precision_is_that_of_the_loop(seed: int) -> None:
    draw = np.random.default_rng(seed)
    scores = draw.integers(0, 12, 40) / 10
    is_positive = draw.random(40) < 0.3
    expected = slow_eleven_points(scores.tolist(), is_positive.tolist())
    assert eleven_point_ap(scores, is_positive) == pytest.approx(expected, abs=1e-12)


def test_eleven_point_precision_of_known_rankings() -> None:
    assert eleven_point_ap([3, 2, 1], [True, True, False]) == 1
    assert eleven_point_ap([3, 2, 1], [False, False, True]) == pytest.approx(1 / 3)
    # Recall 0.5 with precision 1 (0 to 0.5: six points), then precision 2 / 4.
    assert eleven_point_ap([4, 3, 2, 1], [True, False, False, True]) == pytest.approx(8.5 / 11)
    with pytest.raises(ValueError, match="at least one positive"):
        eleven_point_ap([1, 2], [False, False])
