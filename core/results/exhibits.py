"""What an application adds to its report: tables, plots, pictures, other people's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Cell = str | int | float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows under named columns; numbers are aligned right, None is shown as a dash."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"table {self.title!r}: expected {len(self.columns)} cells a row, got {row!r}"
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """Named lines of (x, y) points."""

    title: str
    x_label: str
    y_label: str
    lines: Mapping[str, Sequence[tuple[float, float]]]
    x_scale: Literal["linear", "log"] = "linear"
    is_from_zero: bool = False
    """Whether the y axis begins at 0, so that heights compare."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Picture:
    """An image, RGB uint8 (H, W, 3), with the words under it."""

    image: NDArray[np.uint8]
    caption: str
    section: str = "Worst cases"
    """The heading that it stands under."""

    def __post_init__(self) -> None:
        shape = self.image.shape
        if self.image.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
            raise ValueError(
                f"picture {self.caption!r}: expected RGB uint8 (H, W, 3), got "
                f"{self.image.dtype} {shape}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """Somebody else's number for our `metric`; shown as theirs, never as ours."""

    metric: str
    value: float
    model: str
    source: str  # paper and table
