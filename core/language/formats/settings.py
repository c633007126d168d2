"""Settings of published configurations: those that may have one value only, and the pieces that
several layouts share.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Only(NamedTuple):
    """A setting of which one value is supported."""

    name: str
    value: Any
    default: Any
    """What the published class takes when the setting is left out."""
    why: str = ""


def refuse_others(values: Mapping[str, Any], table: tuple[Only, ...], path: Path) -> None:
    """ValueError naming the first setting of `table` whose value is another one."""
    for only in table:
        found = values.get(only.name, only.default)
        if found != only.value or isinstance(found, bool) != isinstance(only.value, bool):
            reason = f": {only.why}" if only.why else ""
            raise ValueError(
                f"{path}: {only.name} {found!r} is not supported, expected {only.value!r}{reason}"
            )


def read_max_tiles(layout: object) -> int | None:
    """9 of 'anyres_max_9'; None of anything else."""
    number = layout.removeprefix("anyres_max_") if isinstance(layout, str) else ""
    return int(number) if number != layout and number.isascii() and number.isdigit() else None


def read_layer(values: Mapping[str, Any], name: str, default: int, path: Path) -> int:
    """The one layer of the tower that is looked at."""
    layer = values.get(name, default)
    if not isinstance(layer, int) or isinstance(layer, bool):
        raise ValueError(
            f"{path}: {name} {layer!r} is not supported, expected the number of one layer"
        )
    return layer
