"""Plots are valid SVG whose marks stand where the numbers say."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from mlcd.core.results import Plot
from mlcd.core.results.bootstrap import Interval
from mlcd.core.results.plots import histogram, interval_bar, line_plot, number_text, ticks


def plot(*points: tuple[float, float], **changes: object) -> Plot:
    fields: dict[str, object] = {"title": "t", "x_label": "x", "y_label": "y"}
    return Plot(**(fields | {"lines": {"line": list(points)}} | changes))  # type: ignore[arg-type]


def circles(svg: str) -> list[tuple[float, float]]:
    tree = ElementTree.fromstring(svg)
    return [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in tree.iter("circle")]


def test_a_straight_line_is_straight_and_rises_to_the_right() -> None:
    (x0, y0), (x1, y1), (x2, y2) = circles(line_plot(plot((0, 0), (1, 5), (2, 10))))
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.15)
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.15)
    assert x0 < x2
    assert y0 > y2


def test_a_logarithmic_axis_gives_each_decade_the_same_width() -> None:
    (a, _), (b, _), (c, _) = circles(line_plot(plot((1, 0), (10, 1), (100, 2), x_scale="log")))
    assert b - a == pytest.approx(c - b, abs=0.15)


def test_an_axis_from_zero_makes_heights_compare() -> None:
    (_, low), (_, high), (_, zero) = circles(
        line_plot(plot((0, 50), (1, 100), (2, 0), is_from_zero=True))
    )
    (_, alone), _ = circles(line_plot(plot((0, 50), (1, 100), is_from_zero=True)))
    assert zero - low == pytest.approx(low - high, abs=0.15)
    assert alone == low  # where it stands with a point at zero
    (_, floor), _ = circles(line_plot(plot((0, 50), (1, 100))))
    assert floor == zero


def test_points_that_are_not_finite_break_the_line() -> None:
    svg = line_plot(plot((0, 0), (1, math.nan), (2, 1), (3, 2)))
    assert len(circles(svg)) == 3
    path = next(ElementTree.fromstring(svg).iter("path")).attrib["d"]
    assert [step[0] for step in path.split() if step[0].isalpha()] == ["M", "M", "L"]
    assert "nan" not in svg


def test_one_point_and_equal_values_can_be_drawn() -> None:
    assert len(circles(line_plot(plot((3, 0.5))))) == 1
    assert len(circles(line_plot(plot((1, 0), (2, 0))))) == 2
    assert len(circles(line_plot(plot((10, 0.5), x_scale="log")))) == 1


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="'t': expected at least one finite point"):
        line_plot(plot((0, math.inf)))
    with pytest.raises(ValueError, match="'t': a logarithmic axis holds no 0"):
        line_plot(plot((0, 1), (1, 1), x_scale="log"))


def test_names_cannot_break_out_of_the_drawing() -> None:
    svg = line_plot(plot(title="<script>", x_label="a<b", lines={'"><b>': [(0.0, 1.0)]}))
    tree = ElementTree.fromstring(svg)
    assert tree.attrib["aria-label"] == "<script>"
    assert not list(tree.iter("script"))


def test_a_histogram_counts_every_value_once() -> None:
    svg = histogram([0, 0, 0, 0.49, 1.0], title="t", x_label="score", bins=4)
    heights = [float(bar.attrib["height"]) for bar in ElementTree.fromstring(svg).iter("rect")]
    assert heights[0] == pytest.approx(3 * heights[1], abs=0.2)
    assert heights[1] == heights[3] > 0
    assert heights[2] == 0


def test_an_interval_stays_inside_its_line() -> None:
    assert "left:0.00%;width:30.00%" in interval_bar(0.1, Interval(-0.2, 0.3))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.31, 0.91, [0.2, 0.4, 0.6, 0.8, 1]),
        (0, 210, [0, 50, 100, 150, 200, 250]),
        (-1, 1, [-1, -0.5, 0, 0.5, 1]),
    ],
)
def test_ticks_are_round_and_hold_all_values(
    low: float, high: float, expected: list[float]
) -> None:
    assert ticks(low, high) == expected


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1200, "1,200"),
        (1.0, "1.0000"),
        (0.0, "0.0000"),
        (0.84312, "0.8431"),
        (1.234e-7, "1.234e-07"),
        (math.nan, "not a number"),
        (-math.inf, "-infinite"),
    ],
)
def test_numbers_are_written_for_people(number: float, text: str) -> None:
    assert number_text(number) == text
