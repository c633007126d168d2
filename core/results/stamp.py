"""What a number depends on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlcd.core.results.plain_json import plain


@dataclass(frozen=True, kw_only=True, slots=True)
class Stamp:
    """What a number depends on: two results are the same measurement when their stamps agree.

    `protocol` is one sentence from which a stranger can measure the same thing; `settings` is
    everything else that can move the number: batch size, resolution, float type, k.
    `model` is only a label (a path is cut to its last part): `weights_sha256` says which weights.
    """

    task: str
    protocol: str
    model: str
    weights_sha256: str
    data_sha256: str
    prompt_sha256: str | None = None
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("task", "protocol", "model", "weights_sha256", "data_sha256"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f"stamp: expected a text as {name}, got {value!r}")
        if self.model.startswith(("/", ".", "~")):  # a place on somebody's disk is no name
            object.__setattr__(self, "model", Path(self.model).resolve().name)
        object.__setattr__(self, "settings", plain(self.settings))

    def differences(self, other: Stamp) -> dict[str, tuple[Any, Any]]:
        """The fields in which two stamps disagree, each with both values; `model` is none."""
        ours, theirs = self._flat(), other._flat()
        return {
            name: (ours.get(name), theirs.get(name))
            for name in {**ours, **theirs}
            if ours.get(name) != theirs.get(name)
        }

    def _flat(self) -> dict[str, Any]:
        fields = dataclasses.asdict(self)
        del fields["model"]
        return _flat(fields)


def _flat(fields: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested mappings under dotted names, so that a difference names the one value that differs."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[before + name] = value
    return flat
