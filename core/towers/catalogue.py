"""Which towers there are: those that come with the package, and the published sizes. No torch."""

from __future__ import annotations

import inspect
import json

from mlcd.core.models import embedded_models
from mlcd.core.towers import presets
from mlcd.core.towers.config import KIND, TowerConfig


def embedded_towers() -> dict[str, TowerConfig]:
    """The embedded models that are towers, by name."""
    towers: dict[str, TowerConfig] = {}
    for name, folder in embedded_models().items():
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if values.pop("kind", None) == KIND:
            towers[name] = TowerConfig.from_dict(values)
    return towers


def published_sizes() -> dict[str, TowerConfig]:
    """The config that each function of `presets` gives, by its name."""
    return {
        name: function()
        for name, function in vars(presets).items()
        if inspect.isfunction(function) and not name.startswith("_")
    }
