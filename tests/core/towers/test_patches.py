"""Pixels to first tokens, positions at other resolutions, and pixels that fit no tower."""

from __future__ import annotations

import math

import pytest
import torch
from tests.core.towers.toy_towers import FORMS, difference, noise, randomise, toy_config
from torch import Tensor

from mlcd.core.towers.config import Form
from mlcd.core.towers.patches import PatchEmbedding, interpolate_bicubic, zoom_linear


def embedding(form: Form) -> PatchEmbedding:
    layer = PatchEmbedding(toy_config(form))
    randomise(layer)
    return layer


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_tokens_are_patches_row_by_row_behind_the_class_token(form: Form) -> None:
    layer, pixels = embedding(form), noise(2, 3, 32, 32)
    tokens = layer(pixels)
    patches = []
    for row in range(4):
        for column in range(4):
            cut = pixels[:, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            token = cut.flatten(1) @ layer.patch.weight.flatten(1).T
            patches.append(token if layer.patch.bias is None else token + layer.patch.bias)
    expected = torch.stack(patches, dim=1)
    if layer.class_token is not None:
        expected = torch.cat([layer.class_token.expand(2, 1, -1), expected], dim=1)
    if layer.positions is not None:
        expected = expected + layer.positions
    assert difference(tokens, expected) < 1e-5
    assert (layer.patch.bias is not None) == (form == "unicom")
    assert (layer.positions is None) == (form == "rope2d")


@torch.no_grad()
def test_the_position_of_the_class_token_is_the_same_at_every_resolution() -> None:
    layer = embedding("clip")
    assert layer.positions is not None
    assert layer.class_token is not None
    for size in ((32, 32), (64, 24)):
        first = layer(noise(1, 3, *size))[0, 0]
        assert difference(first, layer.class_token + layer.positions[0]) < 1e-6


def cubic(distance: float, a: float = -0.75) -> float:
    """The kernel of Keys with torch's parameter."""
    x = abs(distance)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def weights_by_hand(old: int, new: int) -> Tensor:
    """One axis, between centres of pixels, the outermost ones repeated: (new, old)."""
    weights = torch.zeros(new, old)
    for place in range(new):
        centre = (place + 0.5) * old / new - 0.5
        for source in range(math.floor(centre) - 1, math.floor(centre) + 3):
            weights[place, min(max(source, 0), old - 1)] += cubic(centre - source)
    return weights


@pytest.mark.parametrize("new", [(7, 7), (3, 3), (9, 2), (1, 5)])
def test_positions_are_interpolated_cubically_along_rows_and_columns(new: tuple[int, int]) -> None:
    table = noise(20, 3)
    expected = torch.einsum(
        "ay,bx,yxd->abd",
        weights_by_hand(4, new[0]),
        weights_by_hand(5, new[1]),
        table.view(4, 5, 3),
    )
    assert difference(interpolate_bicubic(table, (4, 5), new), expected.flatten(0, 1)) < 1e-5


def test_interpolation_keeps_the_number_type() -> None:
    assert interpolate_bicubic(noise(16, 3).half(), (4, 4), (6, 2)).dtype == torch.float16
    assert zoom_linear(noise(16, 3).half(), (4, 4), (6, 2)).dtype == torch.float16


def zoomed_by_hand(table: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """scipy.ndimage.zoom with order 1 over the grid: ends on ends, linear between neighbours."""
    grid = table.unflatten(-2, old).double()  # (..., h, w, D)
    out = torch.zeros(*table.shape[:-2], *new, table.shape[-1], dtype=torch.float64)
    for row in range(new[0]):
        y = row * (old[0] - 1) / (new[0] - 1) if new[0] > 1 else 0.0
        for column in range(new[1]):
            x = column * (old[1] - 1) / (new[1] - 1) if new[1] > 1 else 0.0
            top, left = min(math.floor(y), old[0] - 1), min(math.floor(x), old[1] - 1)
            for i, weight_i in ((top, 1 - (y - top)), (min(top + 1, old[0] - 1), y - top)):
                for j, weight_j in ((left, 1 - (x - left)), (min(left + 1, old[1] - 1), x - left)):
                    out[..., row, column, :] += weight_i * weight_j * grid[..., i, j, :]
    return out.flatten(-3, -2).float()


@pytest.mark.parametrize("new", [(7, 7), (3, 3), (4, 4), (9, 2), (1, 5)])
def test_the_zoom_is_linear_between_corners_that_stay(new: tuple[int, int]) -> None:
    for table in (noise(16, 3), noise(5, 16, 3)):
        assert (
            difference(zoom_linear(table, (4, 4), new), zoomed_by_hand(table, (4, 4), new)) < 1e-5
        )


@pytest.mark.parametrize(
    ("form", "pixels", "message"),
    [
        (
            "clip",
            torch.zeros(3, 32, 32),
            r"expected float pixels \(B, 3, H, W\), got torch.float32",
        ),
        ("clip", torch.zeros(1, 1, 32, 32), r"got torch.float32 \(1, 1, 32, 32\)"),
        ("clip", torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "got torch.uint8"),
        ("rope2d", torch.zeros(1, 3, 32, 7), "pixels 32x7 are smaller than one 8x8 patch"),
        ("unicom", torch.zeros(1, 3, 40, 32), r"takes 32x32 pixels, got 40x32.*resized\(size\)"),
    ],
)
def test_pixels_that_do_not_fit_are_refused(form: Form, pixels: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        embedding(form)(pixels)
