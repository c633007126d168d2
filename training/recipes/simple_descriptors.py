"""What can be seen without learning: a small picture, edges, and colours by place and in all.

Compared by cosine they find a thing in another art style about as often as a network trained on
photographs does, and they know nothing by heart. Pictures are float (B, 3, 64, 64), 0 to 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

SIZE = 64
_PIXELS, _CELLS, _ANGLES, _PLACES = 12, 8, 9, 3
_WHITE_WEIGHT = 0.3
"""Of the colour that grounds have in drawings: it says little about the thing."""


def describe(pictures: Tensor) -> Tensor:
    """Pixels, edges, colours by place and colours in all, each of about length 1: (B, 3284)."""
    if pictures.shape[1:] != (3, SIZE, SIZE):
        raise ValueError(f"expected (B, 3, {SIZE}, {SIZE}), got {tuple(pictures.shape)}")
    small = functional.interpolate(pictures, size=(_PIXELS, _PIXELS), mode="area").flatten(1)
    parts = [
        _centred(small),
        _centred(edges(pictures)),
        functional.normalize(colours(pictures, levels=4, places=_PLACES).sqrt(), dim=1),
        functional.normalize(colours(pictures, levels=8, places=1).sqrt(), dim=1),
    ]
    return torch.cat(parts, dim=1)


def edges(pictures: Tensor) -> Tensor:
    """Histograms of oriented gradients, square roots of: (B, 3, S, S) -> (B, 1764).

    Dalal & Triggs 2005: the channel with the strongest gradient, unsigned angles in 9 bins, 8 x 8
    cells, each normalised in its four blocks of 2 x 2.
    """
    dx = functional.pad(pictures[..., 2:] - pictures[..., :-2], (1, 1))
    dy = functional.pad(pictures[..., 2:, :] - pictures[..., :-2, :], (0, 0, 1, 1))
    strongest = (dx.square() + dy.square()).argmax(dim=1, keepdim=True)
    dx, dy = dx.gather(1, strongest), dy.gather(1, strongest)  # (B, 1, S, S)
    length = torch.hypot(dx, dy)
    angle = torch.atan2(dy, dx).remainder(math.pi) * (_ANGLES / math.pi)
    low = angle.floor()
    share = angle - low
    low = low.long() % _ANGLES
    bins = length.new_zeros(len(length), _ANGLES, *length.shape[2:])
    bins.scatter_add_(1, low, length * (1 - share))
    bins.scatter_add_(1, (low + 1) % _ANGLES, length * share)
    cells = functional.avg_pool2d(bins, pictures.shape[-1] // _CELLS)  # (B, 9, 8, 8)
    energy = functional.avg_pool2d(cells.square().sum(dim=1, keepdim=True), 2, 1) * 4
    last = _CELLS - 1
    blocks = [
        cells[:, :, top : top + last, left : left + last] / (energy + 1e-3).sqrt()
        for top in (0, 1)
        for left in (0, 1)
    ]
    return torch.cat(blocks, dim=1).flatten(1).sqrt()


def colours(pictures: Tensor, *, levels: int, places: int) -> Tensor:
    """Shares of levels^3 colours in places x places parts: (B, 3, S, S) -> (B, places^2 * ...)."""
    red, green, blue = (pictures * 255).long().div(256 // levels, rounding_mode="floor").unbind(1)
    colour = (red * levels + green) * levels + blue  # (B, S, S)
    line = torch.arange(pictures.shape[-1]) * places // pictures.shape[-1]
    part = line[:, None] * places + line  # (S, S)
    cell = (part * levels**3 + colour).flatten(1)
    counts = torch.zeros(len(cell), places**2 * levels**3)
    counts.scatter_add_(1, cell, torch.ones_like(cell, dtype=counts.dtype))
    counts[:, levels**3 - 1 :: levels**3] *= _WHITE_WEIGHT
    return counts / cell.shape[1]


def _centred(rows: Tensor) -> Tensor:
    return functional.normalize(rows - rows.mean(dim=1, keepdim=True), dim=1)


class PairMetric:
    """A linear map in which the descriptors of a pair come together: centre, cut, whiten.

    Fitted once on pairs of training pictures: the `dim` main directions of all descriptors, made
    white in the differences within pairs (as in linear discriminant analysis, shrunk).
    """

    def __init__(self, first: Tensor, second: Tensor, *, dim: int, shrinkage: float = 0.3) -> None:
        """Pairs of descriptors (N, F) and (N, F)."""
        rows = torch.cat([first, second])
        self.mean = rows.mean(dim=0)
        _, _, directions = torch.linalg.svd(rows - self.mean, full_matrices=False)
        main = directions[:dim].T  # (F, dim)
        within = (first - second) @ main
        within = within - within.mean(dim=0)
        spread = within.T @ within / len(within)
        spread += shrinkage * spread.diagonal().mean() * torch.eye(dim)
        values, vectors = torch.linalg.eigh(spread)
        self.map = main @ (vectors / values.sqrt())

    def __call__(self, descriptors: Tensor) -> Tensor:
        """(B, F) -> (B, dim) of length 1."""
        return functional.normalize((descriptors - self.mean) @ self.map, dim=1)
