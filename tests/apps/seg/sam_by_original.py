"""PyPI's `segment-anything` at toy size, and what is asked of it and of ours.

The package's own `__init__` wants torchvision, for parts that are not needed here, so its modules
are imported around it.
"""

from __future__ import annotations

import sys
from functools import cache, partial
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from mlcd.apps.seg.sam_config import SamConfig

FIXTURE = Path(__file__).parent / "sam_original.pt"


def inputs(config: SamConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Two pictures (2, 3, S, S), three prompts of two tokens (3, 2, C), mask logits (3, s, s)."""
    generator = torch.Generator().manual_seed(5)
    side, mask = config.image_size, config.mask_size
    return (
        torch.randn(2, 3, side, side, generator=generator),
        torch.randn(3, 2, config.prompt_width, generator=generator),
        4 * torch.randn(3, mask, mask, generator=generator),
    )


def original_sam(config: SamConfig) -> nn.Module:
    """The original modules in the sizes of `config`."""
    modeling = _modeling()
    encoder = modeling.ImageEncoderViT(
        img_size=config.image_size,
        patch_size=config.patch_size,
        embed_dim=config.width,
        depth=config.depth,
        num_heads=config.num_heads,
        mlp_ratio=config.mlp_width / config.width,
        out_chans=config.prompt_width,
        qkv_bias=True,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=config.window_size,
        global_attn_indexes=config.global_blocks,
    )
    prompts = modeling.PromptEncoder(
        embed_dim=config.prompt_width,
        image_embedding_size=(config.grid, config.grid),
        input_image_size=(config.image_size, config.image_size),
        mask_in_chans=config.mask_channels,
    )
    transformer = modeling.TwoWayTransformer(
        depth=config.decoder_depth,
        embedding_dim=config.prompt_width,
        mlp_dim=config.decoder_mlp_width,
        num_heads=config.decoder_heads,
    )
    decoder = modeling.MaskDecoder(
        transformer_dim=config.prompt_width,
        transformer=transformer,
        num_multimask_outputs=3,
        iou_head_depth=3,
        iou_head_hidden_dim=config.iou_width,
    )
    sam: nn.Module = modeling.Sam(encoder, prompts, decoder, list(config.mean), list(config.std))
    return sam.eval()


@cache
def _modeling() -> Any:
    found = PathFinder.find_spec("segment_anything")
    assert found is not None, "run `make peers`"
    assert found.submodule_search_locations is not None
    package = ModuleType("segment_anything")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["segment_anything"] = package
    return import_module("segment_anything.modeling")
