"""Sizes that a picture may be laid out in, and which of them suits it best. All (width, height).

Follows the published `llava/mm_utils.py` number by number.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Sequence
from typing import Any

Size = tuple[int, int]
"""(width, height) in pixels."""

_RANGE_END = re.compile(r"\((\d+)x(\d+)\)")


def parse_pinpoints(value: Any, tile_size: int) -> tuple[Size, ...]:
    """The pinpoints of a configuration, in pixels: a list, its text, or a range of tile counts.

    "(1x1),...,(6x6)" stands for all (i, j) from the first pair to the last, in tiles of
    `tile_size`. ValueError when it is none of these.
    """
    if isinstance(value, str):
        ends = [(int(columns), int(rows)) for columns, rows in _RANGE_END.findall(value)]
        if ends:
            (first_column, first_row), (last_column, last_row) = ends[0], ends[-1]
            return tuple(
                (columns * tile_size, rows * tile_size)
                for columns in range(first_column, last_column + 1)
                for rows in range(first_row, last_row + 1)
            )
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError) as error:
            raise ValueError(f"pinpoints {value!r}: {_EXPECTED}") from error
    is_list = isinstance(value, (list, tuple))
    if not is_list or not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in value):
        raise ValueError(f"pinpoints {value!r}: {_EXPECTED}")
    return tuple((pair[0], pair[1]) for pair in value)


_EXPECTED = "expected a list of (width, height), or a range such as '(1x1),...,(6x6)'"


def best_resolution(size: Size, pinpoints: Sequence[Size]) -> Size:
    """The pinpoint that keeps most pixels of a picture of `size`; of equals the one that wastes
    least, and of those the first.
    """
    width, height = size

    def merit(pinpoint: Size) -> tuple[int, int]:
        scale = min(pinpoint[0] / width, pinpoint[1] / height)
        fitted = int(width * scale) * int(height * scale)
        effective = min(fitted, width * height)
        return effective, effective - pinpoint[0] * pinpoint[1]

    return max(pinpoints, key=merit)


def fitted_size(size: Size, target: Size) -> Size:
    """The size of a picture brought into `target` with its aspect: one side exact, the other
    rounded up.
    """
    width, height = size
    across, down = target[0] / width, target[1] / height
    if across < down:
        return target[0], min(math.ceil(height * across), target[1])
    return min(math.ceil(width * down), target[0]), target[1]
