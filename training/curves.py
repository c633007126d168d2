"""The curves of a run as one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from mlcd.core.files import atomic_path
from mlcd.core.results.exhibits import Plot
from mlcd.core.results.plot_pictures import draw_plot

_NOT_DRAWN = ("step", "skipped")
_MAX_POINTS = 2000
"""More lie on top of each other: of a long run every n-th line is drawn."""


def draw_curves(lines: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write a PNG with a panel for each number of the log, over the steps."""
    kept = lines[:: -(-len(lines) // _MAX_POINTS)]
    curves = {
        name: [(line["step"], line[name]) for line in kept if line.get(name) is not None]
        for name in lines[0]
        if name not in _NOT_DRAWN
    }
    panels = [
        draw_plot(
            Plot(title=name.replace("_", " "), x_label="step", y_label="", lines={name: points}),
            height=240,
        )
        for name, points in curves.items()
        if points
    ]
    if len(panels) % 2:
        panels.append(np.full_like(panels[0], 255))
    rows = [np.hstack(panels[i : i + 2]) for i in range(0, len(panels), 2)]
    with atomic_path(path) as part:
        PIL.Image.fromarray(np.vstack(rows)).save(part, format="PNG")
