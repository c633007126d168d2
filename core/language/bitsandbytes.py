"""A vision-language model with the 8-bit or 4-bit layers of bitsandbytes, for a GPU.

They save memory: 4 bits hold a 7B model in about 5 GB. The numbers of the layers are tested on a
CPU; on a GPU nothing of this was run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from mlcd.core.language.other_layers import copy_with, plain_layers
from mlcd.core.optional import require

if TYPE_CHECKING:
    from mlcd.core.language.vlm import VisionLanguageModel


def quantize_bitsandbytes(vlm: VisionLanguageModel, bits: Literal[4, 8]) -> VisionLanguageModel:
    """A copy for answers with linear layers of 8 bits (LLM.int8, arXiv 2208.07339) or of 4 (NF4,
    arXiv 2305.14314) in the decoder; head, tower and projector stay in the model's own numbers.

    `vlm` stays as it is. ImportError, naming the extra, without bitsandbytes; ValueError for other
    numbers of bits, and when the model is quantised already or has adapters in its layers.
    """
    if bits not in (4, 8):
        raise ValueError(f"bits: expected 4 or 8, got {bits!r}")
    layers = plain_layers(vlm)
    kinds = require("bitsandbytes", extra="quantize").nn
    instead: dict[int, object] = {id(layer): _quantize(layer, kinds, bits) for layer in layers}
    return copy_with(vlm, instead, note=f" in {bits} bits")


def _quantize(layer: nn.Linear, kinds: Any, bits: Literal[4, 8]) -> nn.Module:
    shape, has_bias = (layer.in_features, layer.out_features), layer.bias is not None
    weight = layer.weight.detach().clone()
    quantized: Any
    with torch.device("meta"):
        if bits == 4:
            quantized = kinds.Linear4bit(*shape, bias=has_bias, compute_dtype=weight.dtype)
        else:  # columns of values above the threshold stay in half precision
            quantized = kinds.Linear8bitLt(
                *shape, bias=has_bias, has_fp16_weights=False, threshold=6.0
            )
    quantized.weight = (
        kinds.Params4bit(weight, requires_grad=False, quant_type="nf4")
        if bits == 4
        else kinds.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
    )
    if has_bias:
        quantized.bias = nn.Parameter(layer.bias.detach().clone(), requires_grad=False)
    moved: nn.Module = quantized.to(layer.weight.device)  # this is when it quantises
    return moved
