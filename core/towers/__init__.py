"""Vision towers: pixels in, patch tokens and one embedding out."""

from mlcd.core.towers import presets
from mlcd.core.towers.config import TowerConfig
from mlcd.core.towers.loading import load_tower, save_tower
from mlcd.core.towers.vit import TowerOutput, VisionTower

__all__ = ["TowerConfig", "TowerOutput", "VisionTower", "load_tower", "presets", "save_tower"]
