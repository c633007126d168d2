"""Intervals agree with a slow loop and with what theory says of a known case."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from mlcd.core.results import bootstrap
from mlcd.core.results.bootstrap import Interval, mean_interval, ratio_interval, resampled_means


def slow_interval(values: list[float], *, resamples: int, seed: int) -> Interval:
    draw = random.Random(seed)
    means = []
    for _ in range(resamples):
        picked = [values[draw.randrange(len(values))] for _ in values]
        means.append(sum(picked) / len(picked))
    means.sort()
    return Interval(means[int(0.025 * resamples)], means[int(0.975 * resamples)])


def test_intervals_agree_with_a_slow_loop() -> None:
    values = [float(number**2 % 17) for number in range(60)]
    fast = mean_interval(values, seed=0, resamples=20_000)
    slow = slow_interval(values, resamples=20_000, seed=1)
    assert fast == pytest.approx(slow, abs=0.05)  # standard error of the mean: 0.7


def test_a_fair_coin_has_the_interval_of_the_normal_approximation() -> None:
    values = [0.0, 1.0] * 500
    low, high = mean_interval(values, seed=0, resamples=20_000)
    half = 1.96 * math.sqrt(0.25 / 1000)
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half), abs=0.002)


def test_95_percent_of_intervals_hold_the_true_mean() -> None:
    draw = np.random.default_rng(5)
    hits = 0
    for seed in range(300):
        low, high = mean_interval(draw.normal(2, 1, size=80), seed=seed, resamples=400)
        hits += low <= 2 <= high
    assert 0.91 <= hits / 300 <= 0.98


def test_the_same_seed_gives_the_same_interval_and_another_another() -> None:
    values = np.linspace(0, 1, 50) ** 2
    assert mean_interval(values, seed=4) == mean_interval(values, seed=4)
    assert mean_interval(values, seed=4) != mean_interval(values, seed=5)


def test_drawing_in_pieces_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.linspace(0, 1, 50) ** 2
    whole = resampled_means(values, seed=0, resamples=101)
    monkeypatch.setattr(bootstrap, "_CHUNK", 333)  # 6 draws at once: 16 pieces and a rest
    assert np.array_equal(resampled_means(values, seed=0, resamples=101), whole)


def test_equal_values_leave_no_doubt() -> None:
    assert mean_interval([0.25] * 10, seed=0) == (0.25, 0.25)


@pytest.mark.parametrize("values", [[], [[1.0, 2.0]], [1.0, math.nan], [math.inf]])
def test_what_has_no_mean_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="one row of finite numbers"):
        mean_interval(values, seed=0)


def test_an_interval_says_whether_a_difference_is_beyond_doubt() -> None:
    assert Interval(0.1, 0.2).excludes_zero
    assert Interval(-0.2, -0.1).excludes_zero
    assert not Interval(-0.1, 0.2).excludes_zero


def test_a_ratio_of_sums_agrees_with_a_slow_loop() -> None:
    wholes = [float(number**2 % 17 + 1) for number in range(60)]
    parts = [whole * (number % 5) / 5 for number, whole in enumerate(wholes)]
    draw = random.Random(1)
    ratios = []
    for _ in range(20_000):
        picked = [draw.randrange(60) for _ in range(60)]
        ratios.append(sum(parts[i] for i in picked) / sum(wholes[i] for i in picked))
    ratios.sort()
    fast = ratio_interval(parts, wholes, seed=0, resamples=20_000)
    assert fast == pytest.approx((ratios[500], ratios[19_500]), abs=0.003)
    assert fast.low < sum(parts) / sum(wholes) < fast.high
    assert fast != pytest.approx(mean_interval(np.divide(parts, wholes), seed=0), abs=0.003)


def test_resamples_without_a_whole_have_no_ratio() -> None:
    assert ratio_interval([0, 2, 0], [0, 4, 0], seed=0) == Interval(0.5, 0.5)
    with pytest.raises(ValueError, match="needs a whole above 0"):
        ratio_interval([0.0], [0.0], seed=0)
    for parts, wholes in (([], []), ([1.0], [math.nan])):
        with pytest.raises(ValueError, match="two rows of finite numbers"):
            ratio_interval(parts, wholes, seed=0)
    with pytest.raises(ValueError, match="same shape"):
        ratio_interval([1, 2], [3], seed=0)
