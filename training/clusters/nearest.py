"""The nearest prototypes of rows: products in tiles that stay in the caches, ranked while there.

A tile is ranked by the maxima of groups of its columns: only groups that hold something better
than what was found before are looked at, which soon are few. Memory is one tile.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

_ROWS, _COLUMNS = 1_024, 2_048  # a product of this size stays in the caches: a third quicker
_GROUP = 64  # columns whose maximum is looked at first


def nearest_one(rows: Tensor, prototypes: Tensor, *, is_spherical: bool) -> tuple[Tensor, Tensor]:
    """Score and number of the nearest prototype: (b, D), (K, D) -> (b,), (b,).

    The score is the cosine or, of distances, 2 x.c - |c|^2: the larger, the nearer. Equal ones go
    to the lower number.
    """
    squares = None if is_spherical else torch.linalg.vector_norm(prototypes, dim=1).square()
    best = rows.new_full((len(rows),), -torch.inf)
    labels = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
    every = torch.arange(_ROWS, device=rows.device)
    for first, start, scores in _tiles(rows, prototypes, squares):
        part = slice(first, first + len(scores))
        values, groups = scores.amax(dim=2).max(dim=1)
        # max takes the first of equal ones, of groups as of columns.
        columns = scores[every[: len(scores)], groups].max(dim=1).indices + groups * _GROUP
        is_better = values > best[part]
        best[part] = torch.where(is_better, values, best[part])
        labels[part] = torch.where(is_better, columns + start, labels[part])
    return best, labels


def nearest_few(rows: Tensor, prototypes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Scores and numbers of the `count` nearest, best first: (b, D), (K, D) -> (b, l), (b, l).

    The score is the product, a cosine where both are L2-normalised. Equal ones stand in their
    order. `count` is at most K. A row with a NaN gets -1.
    """
    best = rows.new_full((len(rows), count), -torch.inf)
    labels = torch.full(best.shape, -1, device=rows.device)
    for first, start, scores in _tiles(rows, prototypes):
        part = slice(first, first + len(scores))
        floor = best[part, -1:] if start else _below_the_best(scores, count)
        found, columns = _above(scores, floor)
        # What was found before stands first, so equal scores stay in order.
        values, order = torch.cat([best[part], found], dim=1).sort(descending=True, stable=True)
        best[part] = values[:, :count]
        both = torch.cat([labels[part], columns + start], dim=1)
        labels[part] = both.gather(1, order[:, :count])
    return best, labels


def _below_the_best(scores: Tensor, count: int) -> Tensor:
    """Less than the `count` largest of each row, but not by much: (b, g, G) -> (b, 1).

    As many groups have a maximum that is at least the one in this place.
    """
    scores = scores.flatten(1)
    size = max(1, scores.shape[1] // (4 * count))
    maxima = scores[:, : scores.shape[1] // size * size].unflatten(1, (-1, size)).amax(dim=2)
    place = min(count, maxima.shape[1])
    floor = maxima.topk(place, dim=1).values[:, -1:]
    return torch.nextafter(floor, torch.full_like(floor, -torch.inf))


def _above(scores: Tensor, floor: Tensor) -> tuple[Tensor, Tensor]:
    """Scores above their row's floor: (b, g, G), (b, 1) -> values (b, w), columns (b, w).

    w is what the row with most of them has; the others have -inf at the end.
    """
    height, width, group = scores.shape
    places = _where(scores.amax(dim=2) > floor)  # (p,) of all b x g
    some = scores.flatten(0, 1).index_select(0, places)  # (p, G)
    hits = _where(some > floor.index_select(0, places // width))  # (q,) of all p x G
    pairs, inside = places.index_select(0, hits // group), hits % group
    owners = pairs // width  # ascending
    counts = torch.bincount(owners, minlength=height)
    position = torch.arange(len(owners), device=scores.device) - (counts.cumsum(0) - counts)[owners]
    values = scores.new_full((height, int(counts.max())), -torch.inf)
    values[owners, position] = some.flatten().index_select(0, hits)
    columns = torch.zeros(values.shape, dtype=torch.int64, device=scores.device)
    columns[owners, position] = pairs % width * group + inside
    return values, columns


def _where(mask: Tensor) -> Tensor:
    """Places in the flattened mask that are true, ascending: (n,)."""
    if mask.device.type == "cpu":  # four times quicker than torch's
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.flatten().nonzero().squeeze(1)


def _tiles(
    rows: Tensor, prototypes: Tensor, squares: Tensor | None = None
) -> Iterator[tuple[int, int, Tensor]]:
    """(first row, first prototype, scores (b, g, G)), in one buffer that the next tile overwrites.

    Scores are products or, with `squares` (K,), twice them less the square. Columns behind the
    last prototype are -inf.
    """
    width = _rounded_up(min(_COLUMNS, len(prototypes)))
    buffer = rows.new_empty(min(_ROWS, len(rows)) * width)
    for first in range(0, len(rows), _ROWS):
        part = rows[first : first + _ROWS]
        for start in range(0, len(prototypes), _COLUMNS):
            tile = prototypes[start : start + _COLUMNS]
            width = _rounded_up(len(tile))
            scores = buffer[: len(part) * width].view(len(part), width)
            here = scores[:, : len(tile)]
            if squares is None:
                torch.mm(part, tile.T, out=here)
            else:
                bias = squares[start : start + _COLUMNS]
                torch.addmm(bias, part, tile.T, beta=-1, alpha=2, out=here)
            scores[:, len(tile) :] = -torch.inf
            yield first, start, scores.view(len(part), -1, _GROUP)


def _rounded_up(columns: int) -> int:
    return -(-columns // _GROUP) * _GROUP
