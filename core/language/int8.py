"""A vision-language model whose decoder multiplies in 8-bit whole numbers, for a CPU.

A token then reads a quarter of the memory. How it multiplies is in `core/int8_linear.py`; how much
the logits change, `logit_change.py` measures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mlcd.core.int8_linear import Int8Linear
from mlcd.core.language.other_layers import copy_with, plain_layers
from mlcd.core.towers.int8 import NOTE
from mlcd.core.towers.int8 import quantize_int8 as quantize_tower

if TYPE_CHECKING:
    from mlcd.core.language.vlm import VisionLanguageModel


def quantize_int8(vlm: VisionLanguageModel, *, with_tower: bool = False) -> VisionLanguageModel:
    """A copy for answers on the CPU: int8 linear layers in the decoder and its head.

    The rest is float32, the tower too unless it is asked for `with_tower`. `vlm` stays as it is.
    The copy cannot be trained or saved. ValueError when the model is not on the CPU, is quantised
    already or has adapters in its layers, and where torch lacks oneDNN.
    """
    if vlm.device.type != "cpu":
        raise ValueError(
            f"int8 computes on the CPU alone, and {vlm.name} is on {vlm.device}: load it on the "
            "CPU, or take quantize_bitsandbytes there"
        )
    if not torch.backends.mkldnn.is_available():
        raise ValueError("int8 needs oneDNN, which this build of torch lacks: use float32")
    layers = [*plain_layers(vlm), vlm.language.lm_head]
    instead: dict[int, object] = {id(layer): Int8Linear(layer) for layer in layers}
    if with_tower:
        instead[id(vlm.tower)] = quantize_tower(vlm.tower)
    copy = copy_with(vlm, instead, note=NOTE)
    return copy.float()
