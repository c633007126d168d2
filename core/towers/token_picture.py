"""What patch tokens tell apart, as colours: their first three principal components as RGB.

Alike colours are alike tokens, within a picture and between pictures that are coloured together.
Which colour means what is not told: it comes from the pictures themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlcd.core.images import Image, ImageSource
from mlcd.core.towers.vit import VisionTower

SIDE, GAP = 448, 16  # pixels: of a picture on the sheet, between pictures
_ROUNDING = 1e-9  # of the tokens' energy: less variance is rounding, which must not get colours
_OUTLIERS = 0.01  # of the tokens on each side lie beyond the darkest and brightest colour


def principal_components(tokens: Tensor, count: int = 3) -> Tensor:
    """Coordinates along the directions of largest variance: (P, D) -> (P, count) float32.

    The sign of each is chosen so that the largest entry of its direction is positive: the same
    tokens give the same picture everywhere. Directions that are not there (fewer tokens than
    `count`, or all alike) give zeros. ValueError for tokens that are not finite.
    """
    if not tokens.isfinite().all():
        raise ValueError("the tower gives tokens that are not finite; are its weights whole?")
    tokens = tokens.double()
    centred = tokens - tokens.mean(dim=0)
    variances, directions = torch.linalg.eigh(centred.T @ centred)  # the largest come last
    is_there = variances > _ROUNDING * tokens.square().sum()
    directions = directions[:, is_there].flip(1)[:, :count]  # (D, count)
    largest = directions.gather(0, directions.abs().argmax(dim=0, keepdim=True))
    coordinates = centred @ (directions * largest.sign())
    return torch.nn.functional.pad(coordinates, (0, count - coordinates.shape[1])).float()


def token_colours(patches: Sequence[Tensor]) -> list[NDArray[np.uint8]]:
    """One colour for each patch token: grids (h, w, D) -> RGB uint8 (h, w, 3) each.

    All pictures share one analysis and one scale. The component of largest variance is red.
    """
    coordinates = principal_components(torch.cat([grid.flatten(0, 1) for grid in patches]))
    low, high = coordinates.quantile(torch.tensor([_OUTLIERS, 1 - _OUTLIERS]), dim=0)
    is_flat = high <= low
    scaled = ((coordinates - low) / (high - low).where(~is_flat, 1)).clamp(0, 1)
    colours = (255 * scaled.where(~is_flat, 0.5)).round().to(torch.uint8)
    parts = colours.split([grid.shape[0] * grid.shape[1] for grid in patches])
    return [
        part.reshape(*grid.shape[:2], 3).numpy() for part, grid in zip(parts, patches, strict=True)
    ]


@torch.no_grad()
def draw_tokens(
    tower: VisionTower, images: Sequence[ImageSource], *, size: int | None = None
) -> Image:
    """Pictures as the tower takes them, each with the colours of its patch tokens to its right.

    One row a picture, RGB uint8. `size` is the side in pixels that the tower gets (a multiple of
    its patch for every pixel to count); None is its own. A larger one gives more and smaller
    patches. ValueError when there is no picture, `ImageError` for one that cannot be read.
    """
    if not images:
        raise ValueError("expected at least one picture, got none")
    if size is not None and size != tower.config.image_size and tower.head is not None:
        tower = tower.resized(size)
    size = tower.config.image_size if size is None else size
    preprocess = tower.config.preprocess.at_size(size)
    device = tower.embedding.patch.weight.device
    outputs = [tower(preprocess.batch([image]).to(device)) for image in images]
    colours = token_colours(
        [output.patches[0].float().cpu().unflatten(0, output.grid) for output in outputs]
    )
    seen = preprocess.at_size(SIDE)
    rows = [
        np.hstack([seen.crop(image), np.full((SIDE, GAP, 3), 255, np.uint8), upscale(grid, SIDE)])
        for image, grid in zip(images, colours, strict=True)
    ]
    space = np.full((GAP, rows[0].shape[1], 3), 255, np.uint8)
    return np.vstack([part for row in rows for part in (space, row)][1:])


def upscale(grid: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Each patch as a block of its colour: (h, w, 3) -> (side, side, 3), nearest neighbour."""
    rows = np.arange(side) * grid.shape[0] // side
    columns = np.arange(side) * grid.shape[1] // side
    blocks: NDArray[np.uint8] = grid[rows[:, None], columns]
    return blocks
