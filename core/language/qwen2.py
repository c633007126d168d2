"""The language model: Transformers' Qwen2 decoder, built from the values of a config."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen2.modeling_qwen2 import Qwen2RotaryEmbedding


def build_language(values: Mapping[str, Any]) -> Qwen2ForCausalLM:
    """A decoder with fresh weights, or without memory for them inside `torch.device("meta")`.

    `restore_buffers` has to follow once a decoder from the meta device has its weights.
    """
    language = Qwen2ForCausalLM(Qwen2Config(**values))
    language.set_attn_implementation("sdpa")
    return language


def restore_buffers(language: Qwen2ForCausalLM, device: torch.device | str) -> None:
    """The rotary frequencies, which no file holds and which stay float32 in every number type; and
    one parameter for embedding and head where the config says so.
    """
    with torch.device(device):
        language.model.rotary_emb = Qwen2RotaryEmbedding(language.config)
    if language.config.tie_word_embeddings:
        language.lm_head.weight = language.model.embed_tokens.weight


def use_fastest_attention(language: Qwen2ForCausalLM) -> None:
    """flash-attn where it is installed and the weights are in half precision on a CUDA device."""
    weight = language.lm_head.weight
    is_half = weight.dtype in (torch.float16, torch.bfloat16)
    if weight.is_cuda and is_half and find_spec("flash_attn") is not None:
        capability = torch.cuda.get_device_capability(weight.device)
        if capability >= (8, 0):  # flash-attn's kernels begin with Ampere
            language.set_attn_implementation("flash_attention_2")
