"""Rotary positions: the published frequencies, rows before columns, and the rotation itself."""

from __future__ import annotations

import math

import pytest
import torch
from tests.core.towers.toy_towers import difference, noise

from mlcd.core.towers.rope import RotaryPosition, Rotation, patch_angles, rotate, rotate_into

CPU = torch.device("cpu")


def test_frequencies_of_bigg_are_the_published_ones() -> None:
    frequencies = patch_angles((2, 1), 52, theta=10_000.0, device=CPU)[1, :26]  # row 1
    assert len(frequencies) == 26
    golden = torch.tensor([1.0, 0.701704, 0.492388, 0.345511])
    assert difference(frequencies[:4], golden) < 1e-6
    assert frequencies[-1].item() == pytest.approx(0.00014251, abs=1e-8)
    for k, frequency in enumerate(frequencies.tolist()):
        assert frequency == pytest.approx(10_000 ** (-2 * k / 52), rel=1e-6)


def test_the_first_half_of_the_angles_is_the_row_and_the_second_the_column() -> None:
    angles = patch_angles((2, 3), 52, theta=10_000.0, device=CPU)
    frequency = angles[3, :26]  # row 1, column 0
    for token, (row, column) in enumerate([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]):
        expected = torch.cat([row * frequency, column * frequency])
        assert difference(angles[token], expected) < 1e-6


def test_the_class_token_comes_first_and_turns_by_its_own_angles() -> None:
    rotary = RotaryPosition(104, theta=10_000.0)
    torch.nn.init.normal_(rotary.class_angles)
    cos, sin = rotary((2, 3))
    assert cos.shape == sin.shape == (7, 52)
    assert difference(cos[0], rotary.class_angles.cos()) == 0
    assert difference(sin[0], rotary.class_angles.sin()) == 0
    assert difference(cos[1], torch.ones(52)) == 0  # the patch at row 0, column 0


def test_frequencies_are_no_weights() -> None:
    assert list(RotaryPosition(104, theta=10_000.0).state_dict()) == ["class_angles"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_angles_stay_in_float32_in_a_half_precision_tower(dtype: torch.dtype) -> None:
    rotary = RotaryPosition(104, theta=10_000.0)
    torch.nn.init.normal_(rotary.class_angles)
    whole = rotary((40, 40))
    half = rotary.to(dtype)((40, 40))
    assert half.cos.dtype == torch.float32
    assert difference(half.cos[1:], whole.cos[1:]) == 0  # the class angles alone were rounded


def rotated_by_hand(values: torch.Tensor, rotation: Rotation) -> torch.Tensor:
    """(B, N, 2, heads, d): channel pairs (k, k + d / 2) as points that turn in their plane."""
    turned = values.clone()
    half = values.shape[-1] // 2
    for token in range(values.shape[1]):
        for k in range(half):
            cos, sin = rotation.cos[token, k].item(), rotation.sin[token, k].item()
            x, y = values[:, token, ..., k], values[:, token, ..., k + half]
            turned[:, token, ..., k] = x * cos - y * sin
            turned[:, token, ..., k + half] = x * sin + y * cos
    return turned


def rotated_head_by_head(values: torch.Tensor, rotation: Rotation) -> torch.Tensor:
    """(B, N, 2, heads, d) -> same, by way of the other order of memory."""
    heads_last = values.permute(2, 0, 3, 1, 4)
    out = torch.empty(heads_last.shape, dtype=values.dtype)
    rotate_into(out, heads_last, rotation)
    return out.permute(1, 3, 0, 2, 4)


@pytest.fixture
def rotation() -> Rotation:
    rotary = RotaryPosition(12, theta=100.0)
    torch.nn.init.normal_(rotary.class_angles)
    cos, sin = rotary((2, 3))
    return Rotation(cos.detach(), sin.detach())


def test_the_rotation_equals_a_slow_loop_over_channel_pairs(rotation: Rotation) -> None:
    values = noise(2, 7, 2, 3, 12)
    expected = rotated_by_hand(values, rotation)
    assert difference(rotate(values, rotation), expected) < 1e-6
    assert difference(rotated_head_by_head(values, rotation), expected) < 1e-6


def test_in_half_precision_the_rotation_head_by_head_is_the_other_one(rotation: Rotation) -> None:
    values = noise(1, 7, 2, 3, 12).bfloat16()
    expected = rotate(values, rotation)
    assert expected.dtype == torch.bfloat16
    assert difference(rotated_head_by_head(values, rotation), expected) == 0


def test_products_of_queries_and_keys_depend_on_distances_alone() -> None:
    rotary = RotaryPosition(16, theta=100.0)
    torch.nn.init.zeros_(rotary.class_angles)
    vector = noise(1, 1, 2, 1, 16).expand(1, 26, 2, 1, 16)
    with torch.no_grad():
        queries, keys = rotate(vector, rotary((5, 5)))[0, 1:, :, 0].unbind(1)  # (25, 16) each
    products = (queries @ keys.T).view(5, 5, 5, 5)
    assert products[0, 0, 1, 2].item() == pytest.approx(products[2, 1, 3, 3].item(), rel=1e-4)
    assert not math.isclose(products[0, 0, 1, 2].item(), products[0, 0, 2, 1].item(), rel_tol=1e-2)
