"""What a file of weights of a vision-language model holds, under our names."""

from __future__ import annotations

import torch
from torch import Tensor

from mlcd.core.language.config import VlmConfig
from mlcd.core.language.vlm import VisionLanguageModel

HEAD = "language.lm_head.weight"


def build_empty(config: VlmConfig) -> VisionLanguageModel:
    """A model without memory for its weights (on the meta device).

    ValueError when Transformers cannot build its language model, whose settings are not all known
    here.
    """
    try:
        with torch.device("meta"):
            return VisionLanguageModel(config)
    except (RuntimeError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"no Qwen2 can be built from these settings of the language model ({reason})"
        ) from error


def stored_weights(vlm: VisionLanguageModel) -> dict[str, Tensor]:
    """The state dict, with the head only where it is not the table of embeddings."""
    state = dict(vlm.state_dict())
    if vlm.config.language.get("tie_word_embeddings"):
        del state[HEAD]
    return state
