"""A SAM 2 for video with random weights, small enough to run in a test."""

from __future__ import annotations

from typing import Any

import torch
from tests.core.towers.toy_towers import randomise

SIDE, WIDTH = 64, 128  # pointers are cut in pieces of 64: a smaller width is not possible


def random_sam2(seed: int = 0) -> Any:
    """It believes that there is always something."""
    from transformers import Sam2VideoConfig, Sam2VideoModel

    torch.manual_seed(seed)
    fine, middle, coarse = (SIDE // 4, SIDE // 8, SIDE // 16)
    config = Sam2VideoConfig(
        image_size=SIDE,
        vision_config={
            "model_type": "sam2_vision_model",
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "hidden_size": 8,
                "num_attention_heads": 1,
                "image_size": [SIDE, SIDE],
                "blocks_per_stage": [1, 1, 2, 1],
                "embed_dim_per_stage": [8, 16, 32, 64],
                "num_attention_heads_per_stage": [1, 1, 2, 2],
                "window_size_per_stage": [8, 4, 4, 2],
                "global_attention_blocks": [3],
                "window_positional_embedding_background_size": [4, 4],
            },
            "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[fine, fine], [middle, middle], [coarse, coarse]],
            "fpn_hidden_size": WIDTH,
        },
        prompt_encoder_config={
            "hidden_size": WIDTH,
            "image_size": SIDE,
            "mask_input_channels": 4,
        },
        mask_decoder_config={
            "hidden_size": WIDTH,
            "mlp_dim": 32,
            "num_attention_heads": 4,
            "iou_head_hidden_dim": 16,
        },
        memory_attention_hidden_size=WIDTH,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=[coarse, coarse],
        memory_encoder_hidden_size=WIDTH,
        mask_downsampler_embed_dim=WIDTH,
        memory_fuser_embed_dim=WIDTH,
        memory_fuser_intermediate_dim=32,
        memory_fuser_num_layers=1,
        num_maskmem=3,
        max_object_pointers_in_encoder=4,
    )
    model = Sam2VideoModel(config).eval()
    with torch.no_grad():
        randomise(model, seed)
        model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(5.0)
    return model
