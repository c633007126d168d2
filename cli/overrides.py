"""`--set field=value`: a recipe with some of its numbers changed."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

Recipe = TypeVar("Recipe")


def overridden(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """`recipe`, a dataclass, with each `field=value` or `field.field=value` put in.

    Values are read as Python writes them (`0.1`, `None`, `(0.9, 0.95)`), anything else is text.
    ValueError for a field that is not there or a value of another kind.
    """
    for setting in settings:
        path, is_set, text = setting.partition("=")
        if not is_set:
            raise ValueError(f"--set {setting}: expected field=value")
        recipe = _with(recipe, path.split("."), _value(text), said=path)
    return recipe


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _with(part: Any, path: Sequence[str], value: Any, *, said: str) -> Any:
    names = [field.name for field in fields(part)]
    if path[0] not in names:
        raise ValueError(f"--set {said}: there is no {path[0]!r}; expected one of {names}")
    before = getattr(part, path[0])
    if len(path) > 1:
        if not is_dataclass(before):
            raise ValueError(f"--set {said}: {path[0]} has no fields of its own")
        return replace(part, **{path[0]: _with(before, path[1:], value, said=said)})
    if isinstance(before, float) and type(value) is int:
        value = float(value)
    if before is not None and value is not None and type(value) is not type(before):
        raise ValueError(
            f"--set {said}: expected {type(before).__name__} as in {before!r}, got {value!r}"
        )
    return replace(part, **{path[0]: value})
