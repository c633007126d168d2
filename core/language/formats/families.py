"""Models of other families: what a configuration that is not read here describes, in words.

Told by what the configuration states, `model_type` and `architectures`, never by a name or path.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mlcd.core.towers.config import KIND as TOWER_KIND

READ_HERE = (
    "LLaVA-NeXT's LlavaQwenForCausalLM, Transformers' LlavaNext and LlavaOnevision with a Qwen2 "
    "language model and a CLIP or MLCD tower, and our own folders"
)

_BY_MODEL_TYPE = {
    "llava": "LLaVA-1.5 in Transformers' layout",
    "llava_llama": "LLaVA-1.5 or LLaVA-NeXT with a Llama or Vicuna language model",
    "llava_mistral": "LLaVA-NeXT with a Mistral language model",
    "llava_mixtral": "LLaVA-NeXT with a Mixtral language model",
    "llava_mpt": "LLaVA with an MPT language model",
    "llava_gemma": "LLaVA-NeXT with a Gemma language model",
    "llava_qwen_moe": "LLaVA-NeXT with a Qwen mixture of experts",
    "llava_next_video": "LLaVA-NeXT-Video",
    "video_llava": "Video-LLaVA",
    "vipllava": "ViP-LLaVA",
    "qwen2_vl": "Qwen2-VL",
    "qwen2_5_vl": "Qwen2.5-VL",
    "qwen3_vl": "Qwen3-VL",
    "internvl": "InternVL",
    "internvl_chat": "InternVL",
    "mllama": "Llama 3.2 Vision",
    "paligemma": "PaliGemma",
    "gemma3": "Gemma 3",
    "idefics2": "Idefics2",
    "idefics3": "Idefics3",
    "smolvlm": "SmolVLM",
    "blip-2": "BLIP-2",
    "instructblip": "InstructBLIP",
    "minicpmv": "MiniCPM-V",
    "phi3_v": "Phi-3-vision",
    "pixtral": "Pixtral",
    "bunny-qwen2": "Bunny",
}
_TOWERS = ("clip_vision_model", "mlcd_vision_model", "siglip_vision_model")
_MIRRORS = ("clip", "siglip", "chinese_clip")


def describe(values: Mapping[str, Any]) -> str:
    """One sentence on a configuration that is none of those that are read."""
    return f"{_what(values)}; what is read here: {READ_HERE}"


def _what(values: Mapping[str, Any]) -> str:
    kind, model_type = values.get("kind"), values.get("model_type")
    architectures = " ".join(_strings(values.get("architectures")))
    if kind is not None:
        if kind == TOWER_KIND:
            return "a vision tower alone, not a vision-language model (see `mlcd towers check`)"
        return f"a model folder of ours of kind {kind!r}, not a vision-language model"
    if "seg" in architectures.lower():
        return f"a segmentation model ({architectures}), for `mlcd seg` and not for answers"
    if not isinstance(model_type, str):
        return "a config.json without a model_type, so nothing tells what it is"
    if model_type in _BY_MODEL_TYPE:
        text = values.get("text_config")
        language = text.get("model_type", "llama") if isinstance(text, Mapping) else None
        suffix = f" with a {language} language model" if isinstance(language, str) else ""
        return f"this is {_BY_MODEL_TYPE[model_type]} (model_type {model_type!r}){suffix}"
    if model_type in _TOWERS or model_type in _MIRRORS:
        return (
            f"a {model_type!r} model, a vision tower without a language model "
            "(see `mlcd towers check`)"
        )
    if "vision_config" in values or "mm_vision_tower" in values:
        return f"a vision-language model of another family (model_type {model_type!r})"
    return f"a language model without a vision tower (model_type {model_type!r})"


def _strings(value: Any) -> list[str]:
    return [str(name) for name in value] if isinstance(value, (list, tuple)) else []


def family_of_keys(found: Iterable[str]) -> str | None:
    """Of which family the weights are, by names that only one of them has; None if none is known.

    For weights that lie under a configuration that is not theirs.
    """
    keys = list(found)
    for marks, family in _BY_KEYS:
        if any(mark in f".{key}" for mark in marks for key in keys):
            return family
    return None


_BY_KEYS = (
    ((".lora_A.", ".lora_B."), "a LoRA, which holds only the change to a model: merge it into its "
     "base (PEFT's merge_and_unload) and save that"),
    ((".qweight", ".qzeros", ".absmax", ".SCB", ".weight_scale"),
     "quantised weights: take the float weights they were made from"),
    ((".sam.", ".mask_decoder.", "text2sam_projection"),
     "an MLCD-Seg model, for `mlcd seg`: a SAM mask decoder stands beside the language model"),
    ((".text_hidden_fcs.", ".visual_model.mask_decoder"), "a LISA model"),
    ((".visual.merger.", ".visual.blocks."), "Qwen2-VL or a later Qwen-VL"),
    ((".vision_model.encoder.layers.0.ls1", ".mlp1.0."), "InternVL"),
    ((".qformer.", ".query_tokens"), "BLIP-2 or InstructBLIP"),
    ((".resampler.", ".vpm."), "MiniCPM-V"),
    ((".vision_resampler.",), "a LLaVA with a resampler between tower and projector"),
    ((".block_sparse_moe.", ".mlp.experts."), "a language model that is a mixture of experts"),
    ((".vision_model.head.attention.", ".vision_model.head.probe", ".vision_tower.head.probe"),
     "a SigLIP tower; only CLIP and MLCD towers are read here"),
)  # fmt: skip
