"""LLaVA-NeXT's own layout, written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mlcd.core.checkpoint import cast_weights, write_weights
from mlcd.core.files import write_text
from mlcd.core.language.config import VlmConfig
from mlcd.core.language.formats.chat_template import STATED
from mlcd.core.language.formats.llava_next import MODEL_TYPE
from mlcd.core.language.formats.names import LLAVA_NEXT
from mlcd.core.language.formats.tokenizers import generation_config, save_tokenizer
from mlcd.core.language.stored import stored_weights
from mlcd.core.language.vlm import VisionLanguageModel
from mlcd.core.towers.huggingface import export_huggingface

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TOWER_FOLDER = "vision_tower"
"""The tower as a folder of its own, which mm_vision_tower names: the checkpoint does not state its
architecture, and LLaVA-NeXT's code reads it from there.
"""


def write_config(config: VlmConfig, tower_name: str = TOWER_FOLDER) -> dict[str, Any]:
    """The `config.json` of `LlavaQwenForCausalLM`."""
    language = dict(config.language)
    rope = language.pop("rope_parameters", None) or {}
    layout = config.image_layout
    if config.max_tiles is not None:
        layout = f"anyres_max_{config.max_tiles}"  # type: ignore[assignment]
    return {
        "architectures": ["LlavaQwenForCausalLM"],
        "model_type": MODEL_TYPE,
        **language,
        "rope_theta": rope.get("rope_theta", 10_000.0),
        "rope_scaling": None,
        "use_mm_proj": True,
        "mm_hidden_size": config.tower.width,
        "mm_projector_type": "mlp2x_gelu",
        "mm_resampler_type": None,
        "mm_vision_tower": tower_name,
        "mm_vision_select_layer": config.hidden_layer,
        "mm_vision_select_feature": "patch",
        "mm_patch_merge_type": config.merge,
        "mm_newline_position": "grid",
        "mm_use_im_start_end": False,
        "mm_use_im_patch_token": False,
        "mm_tunable_parts": "mm_vision_tower,mm_mlp_adapter,mm_language_model",
        "image_aspect_ratio": layout,
        "image_grid_pinpoints": [list(pinpoint) for pinpoint in config.pinpoints] or None,
        "tokenizer_model_max_length": config.max_length,
        "tokenizer_padding_side": "right",
        STATED: config.template,
    }


def write_llava_next(
    vlm: VisionLanguageModel,
    folder: Path,
    *,
    tokenizer: PreTrainedTokenizerBase,
    dtype: torch.dtype,
    tower_name: str | None = None,
    beside: Mapping[str, Tensor] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write the files into an existing folder.

    `tower_name` is what mm_vision_tower shall name; without one the tower is written once more, as
    a folder within the folder, and named as that. A class that has more than this one has its
    weights `beside`, under their published names, and its `settings` in the config.json.
    """
    values = write_config(vlm.config, tower_name or TOWER_FOLDER) | dict(settings or {})
    values["torch_dtype"] = str(dtype).removeprefix("torch.")
    weights = {**LLAVA_NEXT.publish(stored_weights(vlm)), **(beside or {})}
    write_weights(folder, cast_weights(weights, dtype))
    write_text(folder / "config.json", json.dumps(values, indent=2) + "\n")
    generation = generation_config(vlm.config, tokenizer)
    write_text(folder / "generation_config.json", json.dumps(generation, indent=2) + "\n")
    save_tokenizer(tokenizer, folder, max_length=vlm.config.max_length)
    if tower_name is None:
        export_huggingface(vlm.tower, folder / TOWER_FOLDER, dtype=dtype)
