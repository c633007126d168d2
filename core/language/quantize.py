"""Fewer bits for the decoder's weights, by what the model's device can multiply with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mlcd.core.language.bitsandbytes import quantize_bitsandbytes
from mlcd.core.language.int8 import quantize_int8

if TYPE_CHECKING:
    from mlcd.core.language.vlm import VisionLanguageModel


def quantize(vlm: VisionLanguageModel, bits: Literal[4, 8] = 8) -> VisionLanguageModel:
    """A copy for answers with 8 or 4 bits a weight in the decoder; `vlm` stays as it is.

    8 bits on the CPU are `quantize_int8`, which is faster too; all else is bitsandbytes. What is
    raised is said there.
    """
    if bits == 8 and vlm.device.type == "cpu":
        return quantize_int8(vlm)
    return quantize_bitsandbytes(vlm, bits)
