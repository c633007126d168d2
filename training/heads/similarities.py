"""Cosines of pictures and classes, a block of classes at a time.

The one place where pictures meet prototypes. It gives what a loss needs, the cosines of a picture's
own classes and the log-sum-exp over all others, and computes each block a second time in the
backward pass, so memory grows with pictures x block and not with pictures x classes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")

_SHORTEST = 1e-12
"""Stands for a length of 0 where something is divided by it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SimilaritySettings:
    """How similarities are computed."""

    logit_scale: float
    negative_filter: float | None = None
    """Cosine above which a negative counts as logit 0, without gradient; None: no filter."""
    block_size: int = 2048
    """Classes at a time."""
    product_dtype: torch.dtype | None = None
    """Of the matrix products, whatever autocast says; None, and all sums: the embeddings' type."""


def similarities(
    embeddings: Tensor,
    prototypes: Tensor,
    positives: Tensor,
    settings: SimilaritySettings,
    *,
    rows: Tensor | None = None,
    dims: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Cosines of each picture's own classes (B, L), and log-sum-exp over its negatives (B,).

    `embeddings` (B, d) are L2-normalised; `prototypes` (K, D) are not, and are normalised here.
    `rows` (k,), sorted, chooses classes, all when None; `dims` (d,) chooses dimensions before the
    normalisation. `positives` (B, L) are indices into the chosen classes, no two of a picture the
    same, -1 for none, whose cosine is 0. All chosen classes that are not a picture's own are its
    negatives; without any the log-sum-exp is -inf. The gradient of `prototypes` is dense without
    `rows`, and a sparse tensor with them.
    """
    result: tuple[Tensor, Tensor] = _Similarities.apply(  # type: ignore[no-untyped-call]
        embeddings, prototypes, positives, settings, rows, dims
    )
    return result


class _Block(NamedTuple):
    """A block of classes, and the positives that fall into it."""

    chosen: slice
    unit: Tensor
    """Normalised prototypes (b, d)."""
    length: Tensor
    """Lengths of the prototypes (b, 1)."""
    picture: Tensor
    """Of each positive in the block (p,)."""
    column: Tensor
    """Of each positive, among the picture's own (p,)."""
    position: Tensor
    """Of each positive, in the block (p,)."""


def _without_autocast(function: Callable[..., Result]) -> Callable[..., Result]:
    """`function`, whose second argument is a tensor, with the types of products as it says."""

    @functools.wraps(function)
    def run(ctx: Any, tensor: Tensor, *others: Any) -> Result:
        with torch.autocast(tensor.device.type, enabled=False):
            return function(ctx, tensor, *others)

    return run


class _Similarities(torch.autograd.Function):
    @staticmethod
    @_without_autocast
    def forward(
        ctx: Any,
        embeddings: Tensor,
        prototypes: Tensor,
        positives: Tensor,
        settings: SimilaritySettings,
        rows: Tensor | None,
        dims: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        scaled = (embeddings * settings.logit_scale).to(settings.product_dtype or embeddings.dtype)
        cosine = embeddings.new_zeros(positives.shape)
        top = embeddings.new_full((len(embeddings),), -float("inf"))
        total = torch.zeros_like(top)
        for block in _blocks(prototypes, positives, rows, dims, settings.block_size):
            # Not out of the product below, which may be in half precision.
            own = (embeddings[block.picture] * block.unit[block.position]).sum(dim=1)
            cosine[block.picture, block.column] = own
            logits = _logits(scaled, block, embeddings.dtype)
            if settings.negative_filter is not None:
                logits.masked_fill_(logits > settings.logit_scale * settings.negative_filter, 0.0)
            logits[block.picture, block.position] = -float("inf")
            higher = torch.maximum(top, logits.amax(dim=1))
            shift = higher.masked_fill(higher == -float("inf"), 0.0)
            total = total * torch.exp(top - shift) + logits.sub_(shift[:, None]).exp_().sum(dim=1)
            top = higher
        negatives = top + total.log()
        ctx.save_for_backward(embeddings, prototypes, positives, rows, dims, negatives)
        ctx.settings = settings
        return cosine, negatives

    @staticmethod
    @_without_autocast
    def backward(ctx: Any, own_grad: Tensor, negative_grad: Tensor) -> tuple[Tensor | None, ...]:
        embeddings, prototypes, positives, rows, dims, negatives = ctx.saved_tensors
        settings: SimilaritySettings = ctx.settings
        half = settings.product_dtype or embeddings.dtype
        scaled = (embeddings * settings.logit_scale).to(half)
        shift = negatives.masked_fill(negatives == -float("inf"), 0.0)
        weight = negative_grad * settings.logit_scale  # (B,)
        # Brought to length 1, so that half precision does not lose a gradient of 1 / B.
        length = torch.linalg.vector_norm(weight).clamp(min=_SHORTEST)
        weighted = (embeddings * (weight / length)[:, None]).to(half)
        from_negatives = torch.zeros_like(embeddings)
        from_positives = torch.zeros_like(embeddings)
        chosen = len(prototypes) if rows is None else len(rows)
        new = prototypes.new_empty if dims is None else prototypes.new_zeros
        values = new((chosen, prototypes.shape[1]))
        for block in _blocks(prototypes, positives, rows, dims, settings.block_size):
            share = _logits(scaled, block, embeddings.dtype)
            share[block.picture, block.position] = -float("inf")
            if settings.negative_filter is not None:
                is_filtered = share > settings.logit_scale * settings.negative_filter
                share.masked_fill_(is_filtered, -float("inf"))
            share = share.sub_(shift[:, None]).exp_().to(half)  # (B, b), of a negative in its sum
            pull = own_grad[block.picture, block.column][:, None]  # (p, 1)
            from_negatives += share @ block.unit.to(half)
            from_positives.index_add_(0, block.picture, pull * block.unit[block.position])
            unit_grad = (share.T @ weighted).to(prototypes.dtype)  # (b, d), over `length`
            unit_grad.index_add_(0, block.position, pull / length * embeddings[block.picture])
            along = (unit_grad * block.unit).sum(dim=1, keepdim=True)
            unit_grad.addcmul_(along, block.unit, value=-1)
            factor = length / block.length
            if dims is None:
                torch.mul(unit_grad, factor, out=values[block.chosen])
            else:
                values[block.chosen].index_copy_(1, dims, unit_grad.mul_(factor))
        embeddings_grad = from_negatives * weight[:, None] + from_positives
        if rows is None:
            return embeddings_grad, values, None, None, None, None
        prototypes_grad = torch.sparse_coo_tensor(
            rows[None], values, prototypes.shape, check_invariants=False, is_coalesced=True
        )
        return embeddings_grad, prototypes_grad, None, None, None, None


def _blocks(
    prototypes: Tensor, positives: Tensor, rows: Tensor | None, dims: Tensor | None, size: int
) -> Iterator[_Block]:
    """All chosen classes, `size` at a time."""
    count = len(prototypes) if rows is None else len(rows)
    picture, column = (positives >= 0).nonzero(as_tuple=True)
    index, order = positives[picture, column].sort(stable=True)
    picture, column = picture[order], column[order]
    starts = list(range(0, count, size))
    edges = torch.tensor([*starts, count], device=index.device)
    bounds = torch.searchsorted(index, edges).tolist()
    for number, start in enumerate(starts):
        chosen = slice(start, min(start + size, count))
        block = prototypes[chosen] if rows is None else prototypes.index_select(0, rows[chosen])
        if dims is not None:
            block = block.index_select(1, dims)
        length = torch.linalg.vector_norm(block, dim=1, keepdim=True).clamp_(min=_SHORTEST)
        own = slice(bounds[number], bounds[number + 1])
        yield _Block(chosen, block / length, length, picture[own], column[own], index[own] - start)


def _logits(scaled: Tensor, block: _Block, dtype: torch.dtype) -> Tensor:
    """Logits of a block (B, b)."""
    return (scaled @ block.unit.to(scaled.dtype).T).to(dtype)
