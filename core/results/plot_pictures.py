"""Plots as pictures, for folders and chats that show no HTML: the same axes as `plots.py`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

import numpy as np
import PIL.Image
from PIL import ImageDraw, ImageFont

from mlcd.core.images import Image
from mlcd.core.results.exhibits import Plot
from mlcd.core.results.plots import Axis, decades, ticks

_COLORS = ("#2f6db5", "#c4572b", "#2f8a5b", "#8a4fa3", "#a9822a", "#b23a62")
_GROUND, _INK, _SOFT, _RULE = "#ffffff", "#1d2126", "#646b75", "#e3e1da"
_FINE = 2
"""Drawn this many times larger and then shrunk, which smooths the lines."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 16, 34, 46
_ROW = 22
_MARKED = 40
"""A line of at most so many points shows them as dots."""


def draw_plot(plot: Plot, *, width: int = 640, height: int = 320) -> Image:
    """The lines of `plot` with axes, title and legend: RGB uint8 (height, width, 3).

    Points that are not finite break their line. ValueError: no finite point at all, or one at or
    below zero on a logarithmic axis.
    """
    points = [point for line in plot.lines.values() for point in line if _is_finite(point)]
    if not points:
        raise ValueError(f"plot {plot.title!r}: expected at least one finite point")
    xs, ys = [x for x, _ in points], [y for _, y in points]
    is_log = plot.x_scale == "log"
    if is_log and min(xs) <= 0:
        raise ValueError(f"plot {plot.title!r}: a logarithmic axis holds no {min(xs)}")
    x_ticks = (decades if is_log else ticks)(min(xs), max(xs))
    y_ticks = ticks(0 if plot.is_from_zero else min(ys), max(ys))
    across = Axis(min(*xs, *x_ticks), max(*xs, *x_ticks), _LEFT, width - _RIGHT, plot.x_scale)
    up = Axis(min(*ys, *y_ticks), max(*ys, *y_ticks), height - _BOTTOM, _TOP)
    picture = PIL.Image.new("RGB", (width * _FINE, height * _FINE), _GROUND)
    pen = _Pen(picture)
    for tick in y_ticks:
        pen.line([(_LEFT, up(tick)), (width - _RIGHT, up(tick))], _RULE, 1)
        pen.text((_LEFT - 6, up(tick)), f"{tick:g}", _SOFT, anchor="rm")
    for tick in x_ticks:
        half = pen.width(f"{tick:g}") / 2  # the last one stays inside the picture
        left = min(across(tick), width - half - 1)
        pen.text((left, height - _BOTTOM + 5), f"{tick:g}", _SOFT, anchor="mt")
    middle = (_LEFT + width - _RIGHT) / 2
    pen.text((middle, height - 6), plot.x_label, _SOFT, anchor="mb")
    pen.text((_LEFT, 8), plot.title, _INK, anchor="la")
    for number, line in enumerate(plot.lines.values()):
        color = _COLORS[number % len(_COLORS)]
        for piece in _pieces(line):
            places = [(across(x), up(y)) for x, y in piece]
            pen.line(places, color, 1.6)
            if len(line) <= _MARKED:
                for place in places:
                    pen.dot(place, color)
    if len(plot.lines) > 1:
        _legend(pen, list(plot.lines), width)
    return np.asarray(picture.resize((width, height), PIL.Image.Resampling.BOX))


def draw_rows(
    title: str, rows: Mapping[str, Sequence[float]], *, x_label: str, width: int = 640
) -> Image:
    """A row of dots for each name, their mean as a bar, the first row's as a line through all.

    For a measure repeated over seeds: RGB uint8 (height, width, 3). ValueError when a row is empty
    or has a value that is not finite.
    """
    values = [value for row in rows.values() for value in row]
    if not all(rows.values()) or not values or not all(map(math.isfinite, values)):
        raise ValueError(f"plot {title!r}: expected finite values in every row, got {dict(rows)}")
    x_ticks = ticks(min(values), max(values))
    height = _TOP + _ROW * len(rows) + _BOTTOM
    picture = PIL.Image.new("RGB", (width * _FINE, height * _FINE), _GROUND)
    pen = _Pen(picture)
    left = 14 + max(pen.width(name) for name in rows)
    across = Axis(x_ticks[0], x_ticks[-1], left + 12, width - _RIGHT)
    for tick in x_ticks:
        pen.line([(across(tick), _TOP), (across(tick), height - _BOTTOM)], _RULE, 1)
        pen.text((across(tick), height - _BOTTOM + 5), f"{tick:g}", _SOFT, anchor="mt")
    pen.text(((left + width - _RIGHT) / 2, height - 6), x_label, _SOFT, anchor="mb")
    pen.text((8, 8), title, _INK, anchor="la")
    first = statistics.fmean(next(iter(rows.values())))
    pen.line([(across(first), _TOP), (across(first), height - _BOTTOM)], _COLORS[0], 1)
    for number, (name, row) in enumerate(rows.items()):
        middle = _TOP + _ROW * (number + 0.5)
        mean = across(statistics.fmean(row))
        pen.text((left, middle), name, _INK, anchor="rm")
        pen.line([(mean, middle - 7), (mean, middle + 7)], _COLORS[1], 2.5)
        for value in row:
            pen.dot((across(value), middle), _COLORS[0])
    return np.asarray(picture.resize((width, height), PIL.Image.Resampling.BOX))


class _Pen:
    """Drawing in the final picture's coordinates."""

    def __init__(self, picture: PIL.Image.Image) -> None:
        self._draw = ImageDraw.Draw(picture)
        self._font = ImageFont.load_default(12 * _FINE)

    def line(self, places: Sequence[tuple[float, float]], color: str, width: float) -> None:
        scaled = [(x * _FINE, y * _FINE) for x, y in places]
        self._draw.line(scaled, fill=color, width=round(width * _FINE), joint="curve")

    def dot(self, place: tuple[float, float], color: str) -> None:
        self._draw.circle((place[0] * _FINE, place[1] * _FINE), 2.5 * _FINE, fill=color)

    def text(self, place: tuple[float, float], text: str, color: str, *, anchor: str) -> None:
        scaled = (place[0] * _FINE, place[1] * _FINE)
        self._draw.text(scaled, text, fill=color, font=self._font, anchor=anchor)

    def width(self, text: str) -> float:
        return self._draw.textlength(text, font=self._font) / _FINE


def _legend(pen: _Pen, names: Sequence[str], width: int) -> None:
    right = float(width - _RIGHT)
    for number, name in reversed(list(enumerate(names))):
        left = right - pen.width(name)
        pen.text((left, 8), name, _COLORS[number % len(_COLORS)], anchor="la")
        right = left - 16


def _pieces(line: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """The stretches of a line between points that are not finite."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for point in line:
        if _is_finite(point):
            pieces[-1].append(point)
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _is_finite(point: tuple[float, float]) -> bool:
    return math.isfinite(point[0]) and math.isfinite(point[1])
