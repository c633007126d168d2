"""Plots as pictures have the lines of the plot, where the numbers say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mlcd.core.results.exhibits import Plot
from mlcd.core.results.plot_pictures import draw_plot, draw_rows

BLUE, ORANGE = (47, 109, 181), (196, 87, 43)


def plot(**lines: list[tuple[float, float]]) -> Plot:
    return Plot(title="loss", x_label="step", y_label="", lines=lines)


def columns(image: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """Where a color is: (n, 2) rows and columns."""
    return np.argwhere((np.abs(image.astype(int) - color) < 12).all(axis=2))


def test_a_falling_line_falls_from_left_to_right() -> None:
    image = draw_plot(plot(loss=[(0, 10), (100, 0)]), width=400, height=200)
    assert image.shape == (200, 400, 3)
    places = columns(image, BLUE)
    left, right = places[places[:, 1].argmin()], places[places[:, 1].argmax()]
    assert left[0] < 50 < 140 < right[0]
    assert left[1] < 90
    assert right[1] > 370


def test_every_line_has_its_color_and_a_gap_where_a_number_is_missing() -> None:
    gap = [(x, math.nan if 40 < x < 60 else 1.0) for x in range(101)]
    image = draw_plot(plot(first=gap, second=[(0, 0.0), (100, 2.0)]), width=400, height=200)
    assert len(columns(image, ORANGE)) > 50
    across = columns(image, BLUE)[:, 1]
    across = np.unique(across[columns(image, BLUE)[:, 0] > 40])  # not the legend
    assert np.diff(across).max() > 40


def test_a_logarithmic_axis_gives_decades_the_same_room() -> None:
    points = [(1.0, 0.0), (10.0, 1.0), (100.0, 0.0)]
    lines = Plot(title="t", x_label="x", y_label="", lines={"a": points}, x_scale="log")
    image = draw_plot(lines, width=400, height=200)
    places = columns(image, BLUE)
    peak = places[places[:, 0].argmin()][1]
    middle = (places[:, 1].min() + places[:, 1].max()) / 2
    assert abs(peak - middle) < 6


def test_an_axis_from_zero_leaves_room_below() -> None:
    def lowest(*, is_from_zero: bool) -> int:
        lines = {"a": [(0.0, 50.0), (1.0, 100.0)]}
        drawn = Plot(title="", x_label="", y_label="", lines=lines, is_from_zero=is_from_zero)
        return int(columns(draw_plot(drawn, height=320), BLUE)[:, 0].max())

    assert lowest(is_from_zero=True) < 170 < 270 < lowest(is_from_zero=False)


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one finite point"):
        draw_plot(plot(loss=[(0, math.nan)]))


def test_rows_of_seeds_stand_where_their_values_are() -> None:
    image = draw_rows("ablation", {"base": [0.2, 0.2], "better": [0.8, 0.9]}, x_label="R@1")
    means = columns(image, ORANGE)
    upper, lower = means[means[:, 0] < 56], means[means[:, 0] > 56]
    assert upper[:, 1].mean() + 200 < lower[:, 1].mean()
    with pytest.raises(ValueError, match="finite values in every row"):
        draw_rows("ablation", {"base": [0.2], "none": []}, x_label="R@1")
