"""Vision towers: pixels in, patch tokens and one embedding out.

The names are imported when they are asked for: presets and configs are read without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlcd.core.towers import presets
from mlcd.core.towers.config import TowerConfig

if TYPE_CHECKING:
    from mlcd.core.towers.loading import load_tower, save_tower
    from mlcd.core.towers.vit import TowerOutput, VisionTower

__all__ = ["TowerConfig", "TowerOutput", "VisionTower", "load_tower", "presets", "save_tower"]

_WITH_TORCH = {
    "load_tower": "mlcd.core.towers.loading",
    "save_tower": "mlcd.core.towers.loading",
    "TowerOutput": "mlcd.core.towers.vit",
    "VisionTower": "mlcd.core.towers.vit",
}


def __getattr__(name: str) -> Any:
    if name in _WITH_TORCH:
        return getattr(import_module(_WITH_TORCH[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
