"""Values as strict JSON holds them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """`value` as JSON holds it: numpy becomes Python, tuples become lists, NaN and infinities None.

    JSON has no NaN. It becomes null when written rather than when read, so that an evaluation
    computes its metrics from exactly what `mlcd results recompute` will read.
    TypeError on what has no JSON form: pictures, tensors, paths, keys that are not strings.
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise TypeError(f"expected names as keys, got {wrong[0]!r}")
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    raise TypeError(
        f"expected numbers, strings, lists and mappings of them, got {type(value).__name__}"
    )


def number_json(value: float) -> float | str:
    """The number, or "NaN", "Infinity", "-Infinity": JSON lacks them, `float` reads them."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Plain `value` as JSON that UTF-8 can hold; ValueError on NaN, which `plain` takes out."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # names of files need not be valid text
        text = json.dumps(value, indent=indent, allow_nan=False)
    return text
