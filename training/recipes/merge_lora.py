"""A model and a LoRA adapter to one model, compared before it is written."""

from __future__ import annotations

from pathlib import Path

import torch

from mlcd.core.language.loading import load_vlm, save_vlm
from mlcd.core.language.vlm import Sample
from mlcd.training.lora import load_lora
from mlcd.training.lora import merge_lora as merge

_TOLERANCE = 1e-2
"""Of the largest logit: rounding of merged weights stays far below."""
_TOKENS = 64


@torch.no_grad()
def merge_adapter(base: str, adapter: Path, output: Path) -> float:
    """Write the merged model; the largest difference of its logits from those beside the adapter.

    In the precision of 32 bits. ValueError when the adapter is of another model, or when the logits
    say that merging went wrong.
    """
    vlm = load_vlm(base)
    load_lora(vlm, adapter)
    vlm.eval()
    ids = torch.arange(_TOKENS) % vlm.config.language["vocab_size"]
    probe = [Sample(ids, None, [])]
    before = vlm(probe).logits
    merge(vlm)
    after = vlm(probe).logits
    assert before is not None
    assert after is not None
    difference = float((before - after).abs().max())
    if not difference <= _TOLERANCE * float(before.abs().max()):
        raise ValueError(
            f"{adapter}: merged into {base} its logits change by {difference:.3g}; nothing was "
            "written"
        )
    card = {"base": base, "adapter": str(adapter.name), "logit_difference": difference}
    save_vlm(vlm, output, card=card)
    return difference
