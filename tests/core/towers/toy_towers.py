"""Towers of every form, small enough to compare number by number, with weights that all matter."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mlcd.core.images import Preprocess
from mlcd.core.towers import TowerConfig, VisionTower
from mlcd.core.towers.config import Form

FORMS: tuple[Form, ...] = ("clip", "rope2d", "unicom")


def toy_config(form: Form, **changes: Any) -> TowerConfig:
    """4 x 4 patches of 8 pixels, 3 blocks of width 128, heads of 64 as in the released files."""
    settings: dict[str, Any] = {
        "form": form,
        "image_size": 32,
        "patch_size": 8,
        "width": 128,
        "depth": 3,
        "num_heads": 2,
        "mlp_width": 192,
        "activation": {"clip": "quick_gelu", "rope2d": "gelu", "unicom": "relu6"}[form],
        "embed_dim": 24 if form == "unicom" else None,
        "preprocess": Preprocess(size=changes.get("image_size", 32)),
    }
    return TowerConfig(**{**settings, **changes})


def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Fresh weights of a size that lets every parameter and buffer show in the output."""
    generator = torch.Generator().manual_seed(seed)
    values = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    with torch.no_grad():
        for name, value in values.items():
            noise = torch.randn(value.shape, generator=generator)
            if name.endswith("running_var"):
                value.copy_(0.5 + noise.abs())
            elif name.endswith("norm.weight") or (value.ndim == 1 and name.endswith(".weight")):
                value.copy_(1 + 0.2 * noise)
            elif value.ndim > 1 and not name.endswith(("positions", "embedding.weight")):
                if value.is_floating_point() and "inv_freq" not in name:
                    value.copy_(noise * value[0].numel() ** -0.5)
            elif value.is_floating_point() and "inv_freq" not in name:
                value.copy_(0.3 * noise)
    return module.eval()


def random_tower(form: Form, seed: int = 0, **changes: Any) -> VisionTower:
    tower = VisionTower(toy_config(form, **changes))
    randomise(tower, seed)
    return tower


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def difference(first: Tensor, second: Tensor) -> float:
    """The largest, over tensors that must have one shape."""
    assert first.shape == second.shape
    return float((first - second).abs().max().detach())
