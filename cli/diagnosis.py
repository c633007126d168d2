"""A diagnosis of a model, as commands print it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlcd.cli.output import shown

if TYPE_CHECKING:
    from mlcd.core.diagnosis import Diagnosis


def diagnosis_json(found: Diagnosis[Any], architecture: dict[str, Any] | None) -> dict[str, Any]:
    """The document that `check --json` prints."""
    return {
        "path": str(found.path),
        "is_sound": found.is_sound,
        "description": found.description,
        "parameters_in_file": found.parameters,
        "dtypes": list(found.dtypes),
        "architecture": architecture,
        "missing": list(found.keys.missing),
        "unexpected": list(found.keys.unexpected),
        "misshapen": [
            {"key": key, "expected": list(expected), "found": list(shape)}
            for key, expected, shape in found.keys.misshapen
        ],
        "problems": list(found.problems),
        "causes": list(found.causes),
        "notes": list(found.notes),
    }


def diagnosis_lines(name: str, found: Diagnosis[Any], architecture: str | None) -> list[str]:
    """The lines that `check` prints; `architecture` is one of them."""
    lines = [f"{shown(name)}: {found.description}"]
    if found.parameters is not None:
        types = " and ".join(found.dtypes) or "no floating weights"
        lines.append(f"  {found.parameters:,} parameters in {types}")
    if architecture is not None:
        lines.append(f"  {architecture}")
    lines += [f"  wrong: {shown(line)}" for line in found.problems]
    lines += [f"  likely: {shown(line)}" for line in found.causes]
    lines += [f"  note: {shown(line)}" for line in found.notes]
    if found.is_sound:
        lines.append("  sound: the weights are exactly those of the architecture")
    return lines
