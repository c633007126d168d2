"""Plots as inline SVG: no plotting library, no script, colours from the page they stand in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from mlcd.core.results.bootstrap import Interval
from mlcd.core.results.exhibits import Plot

# About the width of a phone, so that the letters stay readable there.
WIDTH, HEIGHT = 420, 260
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 10, 42
NUM_COLORS = 6


def line_plot(plot: Plot) -> str:
    """The lines of `plot` with axes; points that are not finite are left out and break the line.

    ValueError: no finite point at all, or one at or below zero on a logarithmic axis.
    """
    points = [(x, y) for line in plot.lines.values() for x, y in line if _is_finite(x, y)]
    if not points:
        raise ValueError(f"plot {plot.title!r}: expected at least one finite point")
    xs, ys = [x for x, _ in points], [y for _, y in points]
    if plot.x_scale == "log" and min(xs) <= 0:
        raise ValueError(f"plot {plot.title!r}: a logarithmic axis holds no {min(xs)}")
    if plot.x_scale == "log":
        x_ticks = sorted(set(xs)) if len(set(xs)) <= 6 else decades(min(xs), max(xs))
    else:
        x_ticks = ticks(min(xs), max(xs))
    y_ticks = ticks(0 if plot.is_from_zero else min(ys), max(ys))
    across = Axis(min(*xs, *x_ticks), max(*xs, *x_ticks), LEFT, WIDTH - RIGHT, plot.x_scale)
    up = Axis(min(*ys, *y_ticks), max(*ys, *y_ticks), HEIGHT - BOTTOM, TOP)
    drawn = _frame(across, x_ticks, up, y_ticks, plot.x_label, plot.y_label)
    for number, (name, line) in enumerate(plot.lines.items()):
        color = f"c{number % NUM_COLORS}"
        placed = [(across(x), up(y)) if _is_finite(x, y) else None for x, y in line]
        drawn += f'<path class="line {color}" d="{_path(placed)}"/>'
        for (x, y), place in zip(line, placed, strict=True):
            if place is not None and len(placed) <= 40:
                said = escape(f"{name}: {number_text(y)} at {x:g}")
                drawn += (
                    f'<circle class="{color}" cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="3">'
                    f"<title>{said}</title></circle>"
                )
    return _svg(plot.title, drawn)


def histogram(values: Sequence[float], *, title: str, x_label: str, bins: int = 20) -> str:
    """How many of `values` (each in 0..1) fall into each of `bins` equal ranges."""
    counts, _ = np.histogram(values, bins=bins, range=(0, 1))
    y_ticks = [tick for tick in ticks(0, max(1, int(counts.max()))) if tick == int(tick)]
    across = Axis(0, 1, LEFT, WIDTH - RIGHT)
    up = Axis(0, max(y_ticks[-1], int(counts.max())), HEIGHT - BOTTOM, TOP)
    drawn = _frame(across, ticks(0, 1), up, y_ticks, x_label, "samples")
    for index, count in enumerate(counts.tolist()):
        low, high = index / bins, (index + 1) / bins
        drawn += (
            f'<rect class="c0" x="{across(low) + 1:.1f}" y="{up(count):.1f}" '
            f'width="{across(high) - across(low) - 2:.1f}" height="{up(0) - up(count):.1f}">'
            f"<title>{low:.2f} to {high:.2f}: {count}</title></rect>"
        )
    return _svg(title, drawn)


def interval_bar(value: float, interval: Interval | None) -> str:
    """A metric in 0..1 as a dot on a line, with its interval as a bar; as wide as its place.

    HTML and not SVG, since the dot must stay round while the line stretches.
    """
    bar = ""
    if interval is not None:
        low, high = max(0.0, interval.low), min(1.0, interval.high)
        bar = f'<i style="left:{low:.2%};width:{high - low:.2%}"></i>'
    return f'<div class="bar" aria-hidden="true">{bar}<b style="left:{value:.2%}"></b></div>'


def ticks(low: float, high: float, *, about: int = 5) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, about `about` steps."""
    if high <= low:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    raw = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 5, 10) if raw <= unit * factor * (1 + 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def number_text(value: float) -> str:
    """A number as people read it: counts `1,200`, the rest `0.8431`, `1.2e+05`, `not a number`."""
    if isinstance(value, int):
        return f"{value:,}"
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "infinite" if value > 0 else "-infinite"
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.4g}"


class Axis:
    """Numbers to places: `low` stands at `start`, `high` at `end`."""

    def __init__(
        self, low: float, high: float, start: float, end: float, scale: str = "linear"
    ) -> None:
        self._is_log = scale == "log"
        self._low, self._high = self._scaled(low), self._scaled(high)
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        share = (self._scaled(value) - self._low) / ((self._high - self._low) or 1)
        return self._start + share * (self._end - self._start)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self._is_log else value


def _frame(
    across: Axis,
    x_ticks: Sequence[float],
    up: Axis,
    y_ticks: Sequence[float],
    x_label: str,
    y_label: str,
) -> str:
    floor = HEIGHT - BOTTOM
    drawn = ""
    for tick in y_ticks:
        drawn += (
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" '
            f'y1="{up(tick):.1f}" y2="{up(tick):.1f}"/>'
            f'<text x="{LEFT - 6}" y="{up(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    for tick in x_ticks:
        drawn += (
            f'<text x="{across(tick):.1f}" y="{floor + 16}" text-anchor="middle">{tick:g}</text>'
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    height = (TOP + floor) / 2
    drawn += (
        f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>'
        f'<text transform="translate(11 {height}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>"
    )
    return drawn


def _path(places: Sequence[tuple[float, float] | None]) -> str:
    steps = []
    pen_is_down = False
    for place in places:
        if place is not None:
            steps.append(f"{'L' if pen_is_down else 'M'}{place[0]:.1f} {place[1]:.1f}")
        pen_is_down = place is not None
    return " ".join(steps)


def decades(low: float, high: float) -> list[float]:
    """Powers of ten from at or below `low` to at or above `high`, both above 0."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [float(10.0**power) for power in powers]


def _is_finite(x: float, y: float) -> bool:
    return math.isfinite(x) and math.isfinite(y)


def _svg(title: str, drawn: str) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">{drawn}</svg>'
    )
