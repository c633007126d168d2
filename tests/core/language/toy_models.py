"""Vision-language models small enough to compare number by number, with weights that all matter."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from tests.core.towers.toy_towers import randomise, toy_config

from mlcd.core.images import Image
from mlcd.core.language import VlmConfig
from mlcd.core.language.vlm import VisionLanguageModel
from mlcd.core.towers.config import Form

SIDE = 32
"""Of a tile, in pixels; 4 x 4 patches."""
VOCABULARY = 120

TOY_LANGUAGE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
}
# No square: rows and columns that are mixed up would show.
TOY_PINPOINTS = tuple((SIDE * i, SIDE * j) for i, j in ((1, 2), (2, 1), (3, 2), (3, 1), (1, 4)))


def toy_vlm_config(form: Form = "clip", **changes: Any) -> VlmConfig:
    settings: dict[str, Any] = {
        "tower": toy_config(form),
        "language": TOY_LANGUAGE,
        "image_layout": "anyres",
        "pinpoints": TOY_PINPOINTS,
        "merge": "spatial_unpad",
        "template": "qwen_1_5",
        "max_length": 4096,
    }
    return VlmConfig(**{**settings, **changes})


def random_vlm(form: Form = "clip", seed: int = 0, **changes: Any) -> VisionLanguageModel:
    torch.manual_seed(seed)
    vlm = VisionLanguageModel(toy_vlm_config(form, **changes))
    randomise(vlm.tower, seed)
    randomise(vlm.projector, seed)
    return vlm.eval()


def speckled(width: int, height: int, seed: int = 0) -> Image:
    """A picture in which no two places look alike."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
