"""One pass of the decoder: Transformers' Qwen2 weights, our own way through them, for inference.

It computes what `Qwen2Model.forward` computes, with less on the way: sequences of different lengths
lie one behind the other in one matrix, only the last token of each goes through all of the last
layer, since nothing else is asked for, and the layers share buffers. How tokens look back is in
`attention.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm, silu
from transformers import PreTrainedModel

from mlcd.core.language.attention import attend
from mlcd.core.language.key_values import KeyValues
from mlcd.core.workspace import Workspace, add_linear, apply_linear, workspace_for

_ROWS = 512
"""Rows that the wide layers take at a time: enough for a fast product, little memory."""
_FEW = 16
"""Rows for which looking after buffers takes longer than it saves."""

_silu = partial(silu, inplace=True)

_Rotation = tuple[Tensor, Tensor]
"""Cosines and sines of the angles of new tokens, (T, 1, d) each; the first half of the sines is
negative.
"""


def check_decoder(language: PreTrainedModel) -> None:
    """ValueError where the decoder needs what this pass does not compute."""
    config = language.config
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        raise ValueError(
            "this decoder has sliding windows, which generation does not compute; no published "
            "vision-language model of this family uses them: set use_sliding_window to false"
        )
    if config.hidden_act != "silu":
        raise ValueError(f"generation computes silu, this decoder has {config.hidden_act}")


@torch.no_grad()
def run_decoder(
    language: PreTrainedModel, tokens: Tensor, counts: Sequence[int], seen: KeyValues
) -> Tensor:
    """Hidden state after the last norm of each sequence's last token: (T, D) -> (B, D).

    `tokens`: embeddings of the new tokens of each sequence, `counts` of them, one sequence behind
    the other. Their keys and values are added to those `seen` before.
    """
    model: Any = language.model
    tokens = tokens.clone()  # written over
    workspace = workspace_for(tokens) if len(tokens) > _FEW else None
    ends = torch.tensor(counts, device=tokens.device).cumsum(0) - 1
    rotation = _rotation(model.rotary_emb, tokens, counts, seen)
    layers = model.layers[: language.config.num_hidden_layers]
    for number, layer in enumerate(layers):
        attention = layer.self_attn
        normed = _norm(layer.input_layernorm, tokens)
        keys = _heads(attention.k_proj, attention, normed, workspace, "keys")
        keys = _rotate(keys, rotation)
        values = _heads(attention.v_proj, attention, normed, workspace, "values")
        if number == len(layers) - 1 and len(tokens) > len(counts):
            tokens, normed = tokens[ends], normed[ends]
            rotation = rotation[0][ends], rotation[1][ends]
        queries = _heads(attention.q_proj, attention, normed, workspace, "queries")
        queries = _rotate(queries, rotation)
        if number == 0:
            seen.make_room(counts, keys)
        found = attend(queries, keys, values, number, counts, seen)
        tokens = add_linear(tokens, attention.o_proj, found, workspace)
        for rows in tokens.split(_ROWS):
            _add_mlp(layer.mlp, rows, _norm(layer.post_attention_layernorm, rows), workspace)
    seen.advance(counts)
    return _norm(model.norm, tokens)


def predict(language: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Logits of the next token: (B, D) -> (B, V), float32."""
    head: Any = language.lm_head
    with torch.no_grad():
        logits: Tensor = head(hidden)
    return logits.float()


def _norm(norm: Any, tokens: Tensor) -> Tensor:
    """RMS norm in one pass: (T, D) -> (T, D)."""
    return rms_norm(tokens, (tokens.shape[1],), norm.weight, norm.variance_epsilon)


def _heads(
    part: nn.Module, attention: Any, normed: Tensor, workspace: Workspace | None, name: str
) -> Tensor:
    """Queries, keys or values, a projection cut into heads: (T, D) -> (T, heads, d)."""
    return apply_linear(part, normed, workspace, name).view(len(normed), -1, attention.head_dim)


def _rotation(
    rotary: nn.Module, tokens: Tensor, counts: Sequence[int], seen: KeyValues
) -> _Rotation:
    starts = zip(seen.lengths, counts, strict=True)
    places = [place for start, count in starts for place in range(start, start + count)]
    cos, sin = rotary(tokens, torch.tensor([places], device=tokens.device))  # (1, T, d) each
    signed = sin.clone()
    signed[..., : sin.shape[-1] // 2].neg_()
    return cos[0, :, None], signed[0, :, None]


def _rotate(heads: Tensor, rotation: _Rotation) -> Tensor:
    """(T, heads, d) turned by the angles of their places, halves as Transformers pairs them."""
    cos, sin = rotation
    return (heads * cos).addcmul_(heads.roll(heads.shape[-1] // 2, -1), sin)


def _add_mlp(mlp: Any, tokens: Tensor, normed: Tensor, workspace: Workspace | None) -> None:
    """Add the MLP of `normed` to `tokens`, in place: (T, D), (T, D)."""
    gate = apply_linear(mlp.gate_proj, normed, workspace, "gate", then=_silu)
    gate.mul_(apply_linear(mlp.up_proj, normed, workspace, "up"))
    added = add_linear(tokens, mlp.down_proj, gate, workspace)
    if added is not tokens:
        tokens.copy_(added)
