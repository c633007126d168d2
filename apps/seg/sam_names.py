"""The names that Transformers and the original SAM give to the same parameters, both ways.

Whole keys in, whole keys out; nothing here looks at weights. Ours are Transformers', with the one
table of positions under one name.
"""

from __future__ import annotations

import re

POSITIONS = "shared_image_embedding.positional_embedding"
SHARED_POSITIONS = "prompt_encoder.shared_embedding.positional_embedding"
"""The same table under the second name that Transformers' class has for it."""

TOLERATED = frozenset({"pixel_mean", "pixel_std"})
"""Names that an original file may hold and that its config says already."""

# (ours, original), the first that fits counts; # stands for a number, * for the rest of the name.
_PAIRS = (
    (POSITIONS, "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    ("vision_encoder.patch_embed.projection.*", "image_encoder.patch_embed.proj.*"),
    ("vision_encoder.layers.#.layer_norm#.*", "image_encoder.blocks.#.norm#.*"),
    ("vision_encoder.layers.*", "image_encoder.blocks.*"),
    ("vision_encoder.neck.conv1.*", "image_encoder.neck.0.*"),
    ("vision_encoder.neck.layer_norm1.*", "image_encoder.neck.1.*"),
    ("vision_encoder.neck.conv2.*", "image_encoder.neck.2.*"),
    ("vision_encoder.neck.layer_norm2.*", "image_encoder.neck.3.*"),
    ("vision_encoder.*", "image_encoder.*"),
    ("prompt_encoder.mask_embed.conv1.*", "prompt_encoder.mask_downscaling.0.*"),
    ("prompt_encoder.mask_embed.layer_norm1.*", "prompt_encoder.mask_downscaling.1.*"),
    ("prompt_encoder.mask_embed.conv2.*", "prompt_encoder.mask_downscaling.3.*"),
    ("prompt_encoder.mask_embed.layer_norm2.*", "prompt_encoder.mask_downscaling.4.*"),
    ("prompt_encoder.mask_embed.conv3.*", "prompt_encoder.mask_downscaling.6.*"),
    ("prompt_encoder.point_embed.*", "prompt_encoder.point_embeddings.*"),
    ("mask_decoder.transformer.layers.#.layer_norm#.*",
     "mask_decoder.transformer.layers.#.norm#.*"),
    ("mask_decoder.transformer.layer_norm_final_attn.*",
     "mask_decoder.transformer.norm_final_attn.*"),
    ("mask_decoder.upscale_conv1.*", "mask_decoder.output_upscaling.0.*"),
    ("mask_decoder.upscale_layer_norm.*", "mask_decoder.output_upscaling.1.*"),
    ("mask_decoder.upscale_conv2.*", "mask_decoder.output_upscaling.3.*"),
    ("mask_decoder.output_hypernetworks_mlps.#.proj_in.*",
     "mask_decoder.output_hypernetworks_mlps.#.layers.0.*"),
    ("mask_decoder.output_hypernetworks_mlps.#.layers.0.*",
     "mask_decoder.output_hypernetworks_mlps.#.layers.1.*"),
    ("mask_decoder.output_hypernetworks_mlps.#.proj_out.*",
     "mask_decoder.output_hypernetworks_mlps.#.layers.2.*"),
    ("mask_decoder.iou_prediction_head.proj_in.*", "mask_decoder.iou_prediction_head.layers.0.*"),
    ("mask_decoder.iou_prediction_head.layers.0.*", "mask_decoder.iou_prediction_head.layers.1.*"),
    ("mask_decoder.iou_prediction_head.proj_out.*", "mask_decoder.iou_prediction_head.layers.2.*"),
    ("prompt_encoder.*", "prompt_encoder.*"),
    ("mask_decoder.*", "mask_decoder.*"),
)  # fmt: skip


def original_name(key: str) -> str:
    """What the original SAM calls one of our parameters; ValueError for a name that is not ours."""
    return _renamed(key, _TO_ORIGINAL, "no parameter of a SAM in Transformers' names")


def our_name(key: str) -> str:
    """What we, as Transformers, call a parameter of the original SAM; ValueError for another."""
    return _renamed(key, _TO_OURS, "no parameter of an original SAM")


def _renamed(key: str, rules: list[tuple[re.Pattern[str], str]], complaint: str) -> str:
    for pattern, replacement in rules:
        if match := pattern.fullmatch(key):
            return match.expand(replacement)
    raise ValueError(f"{key}: {complaint}")


def _rule(source: str, target: str) -> tuple[re.Pattern[str], str]:
    pattern = re.escape(source).replace(r"\#", r"(\d+)").replace(r"\*", "(.+)")
    numbers = iter(range(1, 9))
    replacement = re.sub(r"[#*]", lambda _: rf"\g<{next(numbers)}>", target)
    return re.compile(pattern), replacement


_TO_ORIGINAL = [_rule(ours, original) for ours, original in _PAIRS]
_TO_OURS = [_rule(original, ours) for ours, original in _PAIRS]
