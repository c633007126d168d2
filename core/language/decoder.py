"""One pass of the decoder: Transformers' Qwen2 weights, our own way through them, for inference.

It computes what `Qwen2Model.forward` computes, with less on the way. Sequences of different lengths
lie one behind the other in one matrix, nothing is padded. A query meets the keys of its group of
heads without copies of them. Only the last token of a sequence goes through the last layer, since
nothing else is asked for. Buffers are shared by the layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu
from transformers import PreTrainedModel

from mlcd.core.language.key_values import KeyValues
from mlcd.core.optional import require
from mlcd.core.towers.attention import can_use_flash_attention
from mlcd.core.workspace import Workspace, add_linear, apply_linear, workspace_for

_ROWS = 512
"""Rows that the wide layers take at a time: enough for a fast product, little memory."""
_FEW = 16
"""Rows for which looking after buffers takes longer than what it saves."""
_QUERIES = 256
"""Queries that are masked at a time."""


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
    places = [
        own + n for own, count in zip(seen.lengths, counts, strict=True) for n in range(count)
    ]
    cos, sin = model.rotary_emb(tokens, torch.tensor([places], device=tokens.device))
    rotation = cos[0, :, None], sin[0, :, None]  # (T, 1, d) each
    ends = torch.tensor(counts, device=tokens.device).cumsum(0) - 1
    layers = model.layers[: language.config.num_hidden_layers]
    for number, layer in enumerate(layers):
        is_last = number == len(layers) - 1
        attention = layer.self_attn
        normed = _norm(layer.input_layernorm, tokens)
        mixed = _attend(attention, normed, number, counts, rotation, seen, workspace)
        if is_last:
            tokens, mixed = tokens[ends], mixed[ends]
        tokens = add_linear(tokens, attention.o_proj, mixed, workspace)
        for rows in tokens.chunk(round(len(tokens) / _ROWS) or 1):
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


def _add_mlp(mlp: Any, tokens: Tensor, normed: Tensor, workspace: Workspace | None) -> None:
    """Add the MLP of `normed` to `tokens`, in place: (T, D), (T, D)."""
    gate = apply_linear(mlp.gate_proj, normed, workspace, "gate", then=partial(silu, inplace=True))
    gate.mul_(apply_linear(mlp.up_proj, normed, workspace, "up"))
    added = add_linear(tokens, mlp.down_proj, gate, workspace)
    if added is not tokens:
        tokens.copy_(added)


def _attend(
    attention: Any,
    normed: Tensor,
    layer: int,
    counts: Sequence[int],
    rotation: tuple[Tensor, Tensor],
    seen: KeyValues,
    workspace: Workspace | None,
) -> Tensor:
    """Attention of new tokens to themselves and to what was seen: (T, D) -> (T, heads * d)."""
    d: int = attention.head_dim
    queries, keys, values = (
        apply_linear(part, normed, workspace, name).unflatten(1, (-1, d))  # (T, heads, d)
        for name, part in _projections(attention)
    )
    queries, keys = _rotate(queries, rotation), _rotate(keys, rotation)
    if layer == 0:
        seen.make_room(counts, keys, keys.shape[1])
    if len(counts) > 1 and max(counts) == 1:
        return _attend_one_each(queries, seen.write_one_each(layer, keys, values), seen.lengths)
    parts: list[Tensor] = []
    start = 0
    for row, count in enumerate(counts):
        own = slice(start, start + count)
        memory = seen.write(
            layer, row, keys[own].transpose(0, 1), values[own].transpose(0, 1)
        )  # (2, heads, S, d)
        parts.append(_attend_row(queries[own], memory))
        start += count
    return (parts[0] if len(parts) == 1 else torch.cat(parts)).flatten(1)


def _projections(attention: Any) -> list[tuple[str, nn.Module]]:
    return [
        ("queries", attention.q_proj),
        ("keys", attention.k_proj),
        ("values", attention.v_proj),
    ]


def _rotate(heads: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """(T, heads, d) turned by the angles of their places, halves as Transformers pairs them."""
    cos, sin = rotation
    first, second = heads.chunk(2, dim=-1)
    return (heads * cos).addcmul_(torch.cat([-second, first], dim=-1), sin)


def _attend_row(queries: Tensor, memory: Tensor) -> Tensor:
    """The last L tokens of a sequence look back: (L, heads, d), (2, groups, S, d) -> as queries."""
    count, total = len(queries), memory.shape[2]
    if can_use_flash_attention(queries):
        kernel = require("flash_attn", extra="flash-attn").flash_attn_func
        keys, values = memory.transpose(1, 2)[:, None]  # (1, S, groups, d)
        return kernel(queries[None], keys, values, causal=True)[0]  # type: ignore[no-any-return]
    keys, values = memory[:, None]  # (1, groups, S, d)
    if count == total and count > 1:
        heads_first = queries.transpose(0, 1)[None]
        mixed = scaled_dot_product_attention(
            heads_first, keys, values, is_causal=True, enable_gqa=True
        )
        return mixed[0].transpose(0, 1)
    parts = []
    for start in range(0, count, _QUERIES):
        rows = queries[start : start + _QUERIES]
        reach = total - count + start + len(rows)
        mask = None
        if len(rows) > 1:  # a query reaches as far as its own key
            places = torch.arange(reach, device=queries.device)
            mask = (places <= places[-len(rows) :, None]).repeat(_group(queries, keys), 1)
        mixed = scaled_dot_product_attention(
            _by_group(rows, keys), keys[:, :, :reach], values[:, :, :reach], attn_mask=mask
        )  # (1, groups, heads of a group * L, d)
        parts.append(_by_head(mixed, len(rows)))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _attend_one_each(queries: Tensor, memory: Tensor, lengths: Sequence[int]) -> Tensor:
    """One token of each sequence looks back: (B, heads, d), (2, B, groups, S, d) -> (B, heads * d).

    `lengths`: tokens of each sequence before this one.
    """
    keys, values = memory
    mask = None
    if len(set(lengths)) > 1:
        places = torch.arange(keys.shape[2], device=queries.device)
        ends = torch.tensor(lengths, device=queries.device)
        mask = (places <= ends[:, None])[:, None, None]  # (B, 1, 1, S)
    grouped = queries.unflatten(1, (keys.shape[1], -1))  # (B, groups, heads of a group, d)
    mixed: Tensor = scaled_dot_product_attention(grouped, keys, values, attn_mask=mask)
    return mixed.flatten(1)


def _group(queries: Tensor, keys: Tensor) -> int:
    """How many heads share a key."""
    return queries.shape[1] // keys.shape[1]


def _by_group(queries: Tensor, keys: Tensor) -> Tensor:
    """(L, heads, d) -> (1, groups, heads of a group * L, d)."""
    grouped = queries.unflatten(1, (keys.shape[1], -1))  # (L, groups, heads of a group, d)
    together: Tensor = grouped.permute(1, 2, 0, 3).flatten(1, 2)
    return together[None]


def _by_head(mixed: Tensor, count: int) -> Tensor:
    """Back: (1, groups, heads of a group * L, d) -> (L, heads, d)."""
    heads: Tensor = mixed[0].unflatten(1, (-1, count)).flatten(0, 1)
    return heads.transpose(0, 1)
