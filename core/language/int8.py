"""A vision-language model whose decoder multiplies in 8-bit whole numbers, for a CPU.

A token then reads a quarter of the memory. Many rows are multiplied as `core/int8_linear.py` says.
A few rows times a small layer are multiplied in bfloat16 with weights that are made so on the way:
nothing has to be found out about the rows first, and less is lost. How much the logits change,
`logit_change.py` measures.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mlcd.core.int8_linear import Int8Linear
from mlcd.core.language.other_layers import copy_with, plain_layers
from mlcd.core.towers.int8 import NOTE
from mlcd.core.towers.int8 import quantize_int8 as quantize_tower

if TYPE_CHECKING:
    from mlcd.core.language.vlm import VisionLanguageModel


_FEW = 8
"""Rows up to which bfloat16 is faster."""
_MANY_WEIGHTS = 1 << 21
"""Weights of a layer beyond which a row alone is faster in whole numbers all the same: they come
from memory as fast as it gives them, which the kernel for bfloat16 does not keep up with.
"""


class DecoderInt8Linear(Int8Linear):
    """An `Int8Linear` that multiplies a row alone, and a few, in the way that is fastest for them.

    So the answers of several rows may differ from those of one by what int8 is off anyway.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer)
        self._is_large = self.weight.numel() > _MANY_WEIGHTS
        self._half_scale = self.scale.bfloat16()

    def forward(self, rows: Tensor) -> Tensor:
        """(..., K) -> (..., M), as `Int8Linear`."""
        if self._is_large and rows.shape[:-1] == (1,):
            return self.multiply_one(rows)
        if self._is_large or rows.ndim != 2 or not 0 < len(rows) <= _FEW or not _has_kernel():
            return super().forward(rows)
        self._check(rows)
        product = torch._weight_int8pack_mm(rows.bfloat16(), self.weight, self._half_scale).float()
        return product if self.bias is None else product.add_(self.bias)


@cache
def _has_kernel() -> bool:
    """Whether this build multiplies so in vectors; without them it takes twenty times as long."""
    return torch.backends.cpu.get_cpu_capability() != "DEFAULT"


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
    instead: dict[int, object] = {id(layer): DecoderInt8Linear(layer) for layer in layers}
    if with_tower:
        instead[id(vlm.tower)] = quantize_tower(vlm.tower)
    copy = copy_with(vlm, instead, note=NOTE)
    return copy.float()
