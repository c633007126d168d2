"""Copies of a vision-language model with other layers in its decoder."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from mlcd.core.language.vlm import VisionLanguageModel


def plain_layers(vlm: VisionLanguageModel) -> list[nn.Linear]:
    """The linear layers of the decoder's attention and MLPs, without the head.

    ValueError when one of them is something else already.
    """
    layers: list[nn.Linear] = []
    decoder: Any = vlm.language.model
    for block in decoder.layers:
        attention, mlp = block.self_attn, block.mlp
        layers += [attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj]
        layers += [mlp.gate_proj, mlp.up_proj, mlp.down_proj]
    for layer in layers:
        if type(layer) is not nn.Linear:
            raise ValueError(
                f"{vlm.name} has a {type(layer).__name__} where a linear layer was expected: "
                "quantise the model as it was loaded, and merge adapters into the weights first"
            )
    return layers


def copy_with(
    vlm: VisionLanguageModel, instead: dict[int, object], *, note: str
) -> VisionLanguageModel:
    """A copy for inference in which modules are replaced: the `id` of one -> what stands for it.

    Replaced weights are never copied. The copy's name ends with `note`.
    """
    if vlm.tokenizer is not None:
        instead = {**instead, id(vlm.tokenizer): vlm.tokenizer}  # has no weights, takes seconds
    copy = deepcopy(vlm, instead)  # takes what stands there for copies
    copy.name = vlm.name + note
    return copy.eval().requires_grad_(False)
