"""The search looks where CLIP's looks, finds the peak of a hill, and repeats nothing."""

from __future__ import annotations

import pytest

from mlcd.training.probes.penalty_search import penalty_at, search_penalty


def test_the_grid_is_of_ninety_six_steps_from_a_millionth_to_a_million() -> None:
    assert penalty_at(0) == pytest.approx(1e-6)
    assert penalty_at(96) == pytest.approx(1e6)
    assert penalty_at(57) / penalty_at(49) == pytest.approx(10)


@pytest.mark.parametrize("peak", range(97))
def test_the_peak_of_a_hill_is_found_in_at_most_fifteen_fits(peak: int) -> None:
    looked: list[int] = []

    def accuracy_at(step: int) -> float:
        looked.append(step)
        return 1 - abs(step - peak) / 100

    assert search_penalty(accuracy_at) == peak
    assert looked[:7] == [0, 16, 32, 48, 64, 80, 96]
    assert len(looked) == len(set(looked)) <= 15


def test_equal_accuracies_go_to_the_larger_penalty() -> None:
    assert search_penalty(lambda _: 0.5) == 96
    assert search_penalty(lambda step: float(20 <= step <= 41)) == 41


def test_what_is_known_is_not_fitted_again() -> None:
    whole: dict[int, float] = {}

    def accuracy_at(step: int) -> float:
        return 1 - abs(step - 37) / 100

    search_penalty(accuracy_at, whole)
    half = dict(list(whole.items())[:9])
    asked: list[int] = []
    assert search_penalty(lambda step: asked.append(step) or accuracy_at(step), half) == 37
    assert asked == list(whole)[9:]
    assert half == whole
