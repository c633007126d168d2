"""New tokens of one or more sequences look back at all that their own sequence has so far.

The sequences have their own lengths and nothing is padded. Heads that share keys ask them together,
as more queries of one head: keys are never copied for each head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from mlcd.core.language.key_values import KeyValues
from mlcd.core.optional import require
from mlcd.core.towers.attention import can_use_flash_attention

_QUERIES = 256
"""Queries that are masked at a time."""


def attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    layer: int,
    counts: Sequence[int],
    seen: KeyValues,
) -> Tensor:
    """What the queries find; the keys and values of the new tokens are written to `seen` first.

    `counts` new tokens of each sequence, one sequence behind the other: keys, values (T, groups,
    d). The queries are those of all new tokens, (T, heads, d), or of the last of each sequence
    alone, (B, heads, d). -> (T or B, heads * d)
    """
    if len(counts) > 1 and max(counts) == 1:
        return _attend_one_each(queries, seen.write_one_each(layer, keys, values), seen.lengths)
    asking = counts if len(queries) == len(keys) else [1] * len(counts)
    found: list[Tensor] = []
    rows = zip(
        queries.split(list(asking)),
        keys.split(list(counts)),
        values.split(list(counts)),
        strict=True,
    )
    for row, (own, new_keys, new_values) in enumerate(rows):
        memory = seen.write(layer, row, new_keys.transpose(0, 1), new_values.transpose(0, 1))
        found.append(_attend_last(own, memory))
    return found[0] if len(found) == 1 else torch.cat(found)


def _attend_last(queries: Tensor, memory: Tensor) -> Tensor:
    """The last L of S tokens look back: (L, heads, d), (2, groups, S, d) -> (L, heads * d)."""
    count, total = len(queries), memory.shape[2]
    if can_use_flash_attention(queries):
        kernel = require("flash_attn", extra="flash-attn").flash_attn_func
        keys, values = memory.transpose(1, 2)[:, None]  # (1, S, groups, d)
        found: Tensor = kernel(queries[None], keys, values, causal=True)
        return found.flatten(0, 1).flatten(1)
    keys, values = memory[:, None]  # (1, groups, S, d)
    if count == total and count > 1:
        heads_first = queries.transpose(0, 1)[None]  # (1, heads, L, d)
        found = scaled_dot_product_attention(
            heads_first, keys, values, is_causal=True, enable_gqa=True
        )
        return found[0].transpose(0, 1).flatten(1)
    parts: list[Tensor] = []
    for start in range(0, count, _QUERIES):
        own = queries[start : start + _QUERIES]
        reach = total - count + start + len(own)
        parts.append(_attend_behind(own, keys[:, :, :reach], values[:, :, :reach]))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _attend_behind(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The last L of S tokens, masked: (L, heads, d), (1, groups, S, d) twice -> (L, heads * d)."""
    count, groups, d = len(queries), keys.shape[1], keys.shape[3]
    if count == 1:  # sees all
        found = scaled_dot_product_attention(queries.view(1, groups, -1, d), keys, values)
        return found.view(1, -1)
    together = queries.unflatten(1, (groups, -1)).permute(1, 2, 0, 3)  # (groups, own heads, L, d)
    places = torch.arange(keys.shape[2], device=queries.device)
    mask = (places <= places[-count:, None]).repeat(together.shape[1], 1)  # (own heads * L, S)
    found = scaled_dot_product_attention(
        together.flatten(1, 2)[None], keys, values, attn_mask=mask
    )[0]  # (groups, own heads * L, d)
    by_token: Tensor = found.unflatten(1, (-1, count)).permute(2, 0, 1, 3)
    return by_token.flatten(1)


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
    together = queries.unflatten(1, (keys.shape[1], -1))  # (B, groups, own heads, d)
    found: Tensor = scaled_dot_product_attention(together, keys, values, attn_mask=mask)
    return found.flatten(1)
