"""Token pictures: principal components as colours, one analysis for pictures shown together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.core.towers.toy_towers import difference, noise, random_tower

from mlcd.core.images import ImageError
from mlcd.core.towers.token_picture import (
    GAP,
    SIDE,
    draw_tokens,
    principal_components,
    token_colours,
    upscale,
)


def by_power_iteration(tokens: torch.Tensor, count: int) -> torch.Tensor:
    """Directions one after the other, each the limit of multiplying by the covariance."""
    rest = tokens.double() - tokens.double().mean(dim=0)
    coordinates = []
    for _ in range(count):
        direction = torch.ones(rest.shape[1], dtype=torch.float64)
        for _ in range(3000):
            direction = rest.T @ (rest @ direction)
            direction /= direction.norm()
        if direction[direction.abs().argmax()] < 0:
            direction = -direction
        coordinates.append(rest @ direction)
        rest = rest - torch.outer(rest @ direction, direction)
    return torch.stack(coordinates, dim=1).float()


def test_components_equal_those_of_a_power_iteration() -> None:
    tokens = noise(60, 12) * torch.linspace(3, 0.3, 12) + 5
    found = principal_components(tokens)
    assert found.shape == (60, 3)
    assert difference(found, by_power_iteration(tokens, 3)) < 1e-3
    variances = found.var(dim=0)
    assert variances[0] > variances[1] > variances[2]


def test_what_is_shared_by_all_tokens_and_their_order_mean_nothing() -> None:
    tokens = noise(40, 8)
    assert difference(principal_components(tokens + 100), principal_components(tokens)) < 1e-3
    turned = principal_components(tokens.flip(0)).flip(0)
    assert difference(turned, principal_components(tokens)) < 1e-4


@pytest.mark.parametrize("tokens", [torch.full((9, 5), 3.3), noise(1, 5)])
def test_tokens_that_are_all_alike_give_grey(tokens: torch.Tensor) -> None:
    assert difference(principal_components(tokens), torch.zeros(len(tokens), 3)) == 0
    (colours,) = token_colours([tokens[:, None]])
    assert (colours == 128).all()


def test_fewer_directions_than_colours_leave_the_others_grey() -> None:
    (colours,) = token_colours([torch.stack([torch.linspace(0, 1, 9), torch.zeros(9)], 1)[:, None]])
    assert len(np.unique(colours[..., 0])) == 9
    assert (colours[..., 1:] == 128).all()


def test_alike_tokens_of_two_pictures_have_alike_colours() -> None:
    left, right = noise(8), noise(8, seed=2)
    first = torch.stack([left, left, right, right]).view(2, 2, 8)
    second = torch.stack([right, left, left]).view(1, 3, 8)
    one, two = token_colours([first, second])
    assert (one.shape, two.shape, one.dtype) == ((2, 2, 3), (1, 3, 3), np.uint8)
    assert (one[0, 0] == two[0, 1]).all()
    assert (one[1, 0] == two[0, 0]).all()
    assert (one[0, 0] != one[1, 0]).any()


def test_broken_weights_are_an_error_in_words() -> None:
    tokens = noise(9, 5)
    tokens[3, 3] = float("nan")
    with pytest.raises(ValueError, match="tokens that are not finite"):
        principal_components(tokens)


def test_every_patch_becomes_a_block_of_its_colour() -> None:
    grid = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    large = upscale(grid, 6)
    assert large.shape == (6, 6, 3)
    for row in range(6):
        for column in range(6):
            assert (large[row, column] == grid[row // 3, column // 2]).all()


def picture(height: int, width: int) -> np.ndarray:
    """Dark on the left, bright on the right."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[:, width // 2 :] = 255
    return image


@pytest.mark.parametrize("form", ["clip", "rope2d", "unicom"])
@pytest.mark.parametrize("size", [None, 64])
def test_pictures_stand_beside_their_tokens(form: str, size: int | None) -> None:
    drawn = draw_tokens(random_tower(form), [picture(40, 60), picture(90, 30)], size=size)  # type: ignore[arg-type]
    assert drawn.shape == (2 * SIDE + GAP, 2 * SIDE + GAP, 3)
    assert drawn.dtype == np.uint8
    assert (drawn[:SIDE, : SIDE // 2 - 8] == 0).all()  # the picture itself, as the tower takes it
    assert (drawn[:SIDE, SIDE // 2 + 8 : SIDE] == 255).all()
    tokens = drawn[:SIDE, SIDE + GAP :]
    blocks = 4 if size is None else 8
    step = SIDE // blocks
    for row in range(blocks):
        for column in range(blocks):
            block = tokens[row * step : (row + 1) * step, column * step : (column + 1) * step]
            assert (block == block[0, 0]).all()
    assert len(np.unique(tokens.reshape(-1, 3), axis=0)) > blocks


def test_the_tokens_of_a_tower_tell_the_halves_of_a_picture_apart() -> None:
    tower = random_tower("clip")
    with torch.no_grad():
        assert tower.embedding.positions is not None
        tower.embedding.positions.zero_()  # what remains is what the patches show
    tokens = draw_tokens(tower, [picture(40, 40)])[:, SIDE + GAP :].astype(int)
    left, right = tokens[:, : SIDE // 2], tokens[:, SIDE // 2 :]
    assert np.abs(left - right)[..., 0].min() > 250  # in red, the component of largest variance
    assert (tokens == tokens[0]).all()  # every row is alike, as in the picture


def test_no_picture_and_an_unreadable_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected at least one picture, got none"):
        draw_tokens(random_tower("clip"), [])
    (tmp_path / "bad.jpg").write_text("no picture")
    with pytest.raises(ImageError, match=r"bad\.jpg"):
        draw_tokens(random_tower("clip"), [tmp_path / "bad.jpg"])
