"""A SAM in the words of Transformers: `config.json` and `preprocessor_config.json`, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import SamConfig as TransformersConfig
from transformers import SamMaskDecoderConfig, SamPromptEncoderConfig, SamVisionConfig

from mlcd.apps.seg.sam_config import SamConfig

MODEL_TYPE = "sam"

_PARTS = ("vision_config", "prompt_encoder_config", "mask_decoder_config")
# Settings of these that our config does not have: they must be what every SAM has.
_FIXED = (
    "hidden_act", "layer_norm_eps", "qkv_bias", "use_abs_pos", "use_rel_pos", "num_channels",
    "num_pos_feats", "num_point_embeddings", "hidden_size", "image_size", "patch_size",
    "attention_downsample_rate", "num_multimask_outputs", "iou_head_depth",
)  # fmt: skip


def to_transformers(config: SamConfig) -> TransformersConfig:
    """What builds Transformers' `SamModel`."""
    vision = SamVisionConfig(
        hidden_size=config.width,
        num_hidden_layers=config.depth,
        num_attention_heads=config.num_heads,
        mlp_dim=config.mlp_width,
        image_size=config.image_size,
        patch_size=config.patch_size,
        window_size=config.window_size,
        global_attn_indexes=list(config.global_blocks),
        output_channels=config.prompt_width,
        num_pos_feats=config.prompt_width // 2,
        initializer_range=0.02,
    )
    prompts = SamPromptEncoderConfig(
        hidden_size=config.prompt_width,
        image_size=config.image_size,
        patch_size=config.patch_size,
        mask_input_channels=config.mask_channels,
    )
    decoder = SamMaskDecoderConfig(
        hidden_size=config.prompt_width,
        mlp_dim=config.decoder_mlp_width,
        num_hidden_layers=config.decoder_depth,
        num_attention_heads=config.decoder_heads,
        iou_head_hidden_dim=config.iou_width,
        layer_norm_eps=config.decoder_norm_eps,
    )
    return TransformersConfig(
        vision_config=vision.to_dict(),
        prompt_encoder_config=prompts.to_dict(),
        mask_decoder_config=decoder.to_dict(),
    )


def read_config(values: Mapping[str, Any], processor: Mapping[str, Any] | None = None) -> SamConfig:
    """The SAM that a `config.json` and a `preprocessor_config.json` describe.

    ValueError for a setting that this package's SAM does not have.
    """
    known = TransformersConfig(**{name: values[name] for name in _PARTS if name in values})
    vision: Any = known.vision_config
    prompts: Any = known.prompt_encoder_config
    decoder: Any = known.mask_decoder_config
    config = SamConfig(
        width=vision.hidden_size,
        depth=vision.num_hidden_layers,
        num_heads=vision.num_attention_heads,
        global_blocks=tuple(vision.global_attn_indexes),
        mlp_width=vision.mlp_dim,
        image_size=vision.image_size,
        patch_size=vision.patch_size,
        window_size=vision.window_size,
        prompt_width=vision.output_channels,
        decoder_depth=decoder.num_hidden_layers,
        decoder_heads=decoder.num_attention_heads,
        decoder_mlp_width=decoder.mlp_dim,
        mask_channels=prompts.mask_input_channels,
        iou_width=decoder.iou_head_hidden_dim,
        decoder_norm_eps=decoder.layer_norm_eps,
        **_statistics(processor or {}),
    )
    _refuse_others(known, to_transformers(config))
    return config


def _refuse_others(found: TransformersConfig, expected: TransformersConfig) -> None:
    for part in _PARTS:
        there, here = getattr(found, part).to_dict(), getattr(expected, part).to_dict()
        for setting in _FIXED:
            if there.get(setting) != here.get(setting):
                raise ValueError(
                    f"{part}.{setting} {there.get(setting)!r} is not supported, expected "
                    f"{here.get(setting)!r}"
                )


def _statistics(processor: Mapping[str, Any]) -> dict[str, Any]:
    """Mean and deviation of pixels 0 to 255; Transformers states them for 0 to 1."""
    named = {"mean": processor.get("image_mean"), "std": processor.get("image_std")}
    return {
        name: tuple(round(255 * value, 6) for value in values)
        for name, values in named.items()
        if values is not None
    }


def processor_config(config: SamConfig) -> dict[str, Any]:
    """The `preprocessor_config.json`, which Transformers' `SamProcessor` reads."""
    side = config.image_size
    return {
        "image_processor_type": "SamImageProcessor",
        "processor_class": "SamProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"longest_edge": side},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [value / 255 for value in config.mean],
        "image_std": [value / 255 for value in config.std],
        "do_pad": True,
        "pad_size": {"height": side, "width": side},
        "mask_pad_size": {"height": config.mask_size, "width": config.mask_size},
        "mask_size": {"longest_edge": config.mask_size},
    }
