"""A SAM small enough to compare number by number, with weights that all matter."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mlcd.apps.seg.sam import Sam, sam_weights
from mlcd.apps.seg.sam_config import SamConfig


def toy_sam_config(**changes: Any) -> SamConfig:
    """8 x 8 patches, windows that do not fit evenly, one block that sees everything."""
    settings: dict[str, Any] = {
        "width": 24,
        "depth": 3,
        "num_heads": 3,
        "global_blocks": (1,),
        "mlp_width": 40,
        "image_size": 64,
        "patch_size": 8,
        "window_size": 3,
        "prompt_width": 32,
        "decoder_mlp_width": 48,
        "mask_channels": 8,
        "iou_width": 20,
    }
    return SamConfig(**{**settings, **changes})


def random_sam(seed: int = 0, **changes: Any) -> Sam:
    sam = Sam(toy_sam_config(**changes))
    with torch.no_grad():
        for value, random in zip(
            sam_weights(sam).values(), random_values(sam, seed).values(), strict=True
        ):
            value.copy_(random)
    return sam.eval()


def random_values(sam: Sam, seed: int) -> dict[str, Tensor]:
    """By the order of the names, so that another program can make the same."""
    generator = torch.Generator().manual_seed(seed)
    values = {}
    for key, value in sam_weights(sam).items():
        noise = torch.randn(value.shape, generator=generator)
        is_norm = "layer_norm" in key and key.endswith("weight")
        is_small = value.ndim == 1 or "rel_pos" in key or "pos_embed" in key
        scale = 0.3 if is_small else value[0].numel() ** -0.5 if value.shape[0] > 1 else 1.0
        values[key] = 1 + 0.2 * noise if is_norm else scale * noise
    return values
