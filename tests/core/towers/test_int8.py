"""An int8 tower is the same up to rounding, picture by picture, and says what it cannot do."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.core.towers.toy_towers import FORMS, difference, noise, random_tower
from torch import Tensor, nn

import mlcd.assets
from mlcd.core.images import list_images
from mlcd.core.int8_linear import Int8Linear, activation_levels
from mlcd.core.towers import VisionTower, load_tower, save_tower
from mlcd.core.towers.config import Form
from mlcd.core.towers.huggingface import export_huggingface
from mlcd.core.towers.int8 import quantize_int8


def by_hand(layer: nn.Linear, rows: Tensor) -> NDArray[np.float64]:
    """The quantised product written out, number by number, in doubles."""
    weight, given = layer.weight.detach().double().numpy(), rows.double().numpy()
    out = np.zeros((len(given), len(weight)))
    for t, row in enumerate(given):
        low, step = row.min(), (row.max() - row.min()) / activation_levels()
        whole = np.floor((row - low) / step + 0.5)
        for m, channel in enumerate(weight):
            scale = np.abs(channel).max() / 127
            out[t, m] = ((low + step * whole) * scale * np.round(channel / scale)).sum()
    return out if layer.bias is None else out + layer.bias.detach().double().numpy()


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("num_rows", [1, 7])
def test_a_layer_equals_a_slow_loop(num_rows: int, has_bias: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(48, 20, bias=has_bias)
    rows = noise(num_rows, 48) * torch.logspace(-2, 2, num_rows)[:, None]
    expected = by_hand(layer, rows)
    with torch.no_grad():
        got = Int8Linear(layer)(rows).numpy()
    # where a float32 falls on a step's edge, one step of one channel may differ
    np.testing.assert_allclose(got, expected, atol=1e-3 * np.abs(expected).max(axis=1).max())


@torch.no_grad()
def test_more_rows_than_are_taken_at_a_time_change_nothing() -> None:
    layer, rows = Int8Linear(nn.Linear(16, 8)), noise(3000, 16)
    tokens = noise(3000, 8, seed=2)
    one_by_one = torch.cat([layer(row) for row in rows.split(1)])
    assert difference(layer(rows), one_by_one) < 1e-6
    assert difference(layer.add_to(tokens.clone(), rows), tokens + one_by_one) < 1e-5


@torch.no_grad()
def test_extreme_rows_stay_apart_and_nothing_is_cut_off() -> None:
    layer = nn.Linear(512, 8, bias=False)
    layer.weight.fill_(0.5)
    rows = torch.stack([torch.full((512,), 3.0), torch.zeros(512), 1e4 * noise(512), noise(512)])
    rows[3, 0], rows[3, 1:] = -1.0, 1.0  # all but one at the top: the largest sum there is
    rows = torch.cat([rows, torch.full((1, 512), torch.nan)])
    got = Int8Linear(layer)(rows)
    expected = layer(rows)
    assert difference(got[[0, 1, 3]], expected[[0, 1, 3]]) < 1e-3 * 256
    assert difference(got[2], expected[2]) < 0.01 * float(rows[2].norm())
    assert bool(got[4].isnan().all())


@pytest.mark.parametrize("form", FORMS)
def test_all_ways_through_the_tower_are_close_to_float32(form: Form) -> None:
    tower, pixels = random_tower(form), noise(3, 3, 32, 32)
    int8 = quantize_int8(tower)
    with torch.no_grad():
        pairs = [
            (tower(pixels).pooled, int8(pixels).pooled),
            (tower(pixels).tokens, int8(pixels).tokens),
            (tower.hidden_state(pixels, -2), int8.hidden_state(pixels, -2)),
            (tower.embed_pixels(pixels), int8.embed_pixels(pixels)),
        ]
    for expected, got in pairs:
        cosines = nn.functional.cosine_similarity(expected, got, dim=-1)
        assert float(cosines.min()) > 0.998
        assert difference(expected, got) > 0  # int8 it is


@pytest.mark.parametrize("form", ["clip", "rope2d"])
@torch.no_grad()
def test_a_picture_does_not_depend_on_those_beside_it(form: Form) -> None:
    int8 = quantize_int8(random_tower(form))
    pictures = [noise(3, 32, 32), 50 * noise(3, 32, 32, seed=2), noise(3, 48, 24, seed=3)]
    for picture, packed in zip(pictures, int8.packed(pictures), strict=True):
        alone = int8(picture[None])
        # float32 sums of another order may tip one number over to the next whole one
        cosine = nn.functional.cosine_similarity(alone.pooled, packed.pooled)
        assert float(cosine) > 0.99999


def test_with_and_without_recording_gradients_the_numbers_are_the_same() -> None:
    int8, pixels = quantize_int8(random_tower("clip")), noise(2, 3, 32, 32)
    recorded = int8(pixels).pooled
    with torch.no_grad():
        cosines = nn.functional.cosine_similarity(recorded, int8(pixels).pooled)
    assert float(cosines.min()) > 0.9999


def test_trained_weights_keep_their_embeddings_of_real_pictures() -> None:
    tower = load_tower("things-tiny")
    pictures = list_images(Path(mlcd.assets.__file__).parent / "samples")
    cosines = (tower.embed(pictures) * quantize_int8(tower).embed(pictures)).sum(dim=1)
    assert len(pictures) > 20
    assert float(cosines.min()) >= 0.999


@pytest.mark.parametrize("form", FORMS)
def test_the_original_stays_as_it_was_and_shares_nothing(form: Form) -> None:
    tower, pixels = random_tower(form), noise(1, 3, 32, 32)
    digest, trained = tower.weights_sha256(), [p.requires_grad for p in tower.parameters()]
    before = tower(pixels).pooled
    int8 = quantize_int8(tower)
    for value in int8.state_dict().values():
        value.zero_()
    assert tower.weights_sha256() == digest
    assert [p.requires_grad for p in tower.parameters()] == trained
    assert torch.equal(tower(pixels).pooled, before)


def test_the_copy_keeps_the_config_but_not_the_name_and_the_digest() -> None:
    tower = random_tower("clip")
    tower.name = "photographs"
    int8 = quantize_int8(tower)
    assert (int8.name, int8.config, int8.training) == ("photographs in int8", tower.config, False)
    assert int8.weights_sha256() != tower.weights_sha256()
    assert int8.weights_sha256() == quantize_int8(tower).weights_sha256()


@torch.no_grad()
def test_a_half_precision_tower_is_quantised_too_and_the_rest_becomes_float32() -> None:
    tower = random_tower("rope2d")
    half = quantize_int8(deepcopy(tower).half())
    pixels = noise(2, 3, 32, 32)
    cosines = nn.functional.cosine_similarity(half(pixels).pooled, tower(pixels).pooled)
    assert float(cosines.min()) > 0.998
    assert half(pixels).pooled.dtype == torch.float32


@torch.no_grad()
def test_a_used_tower_can_be_copied_and_take_other_weights() -> None:
    int8, pixels = quantize_int8(random_tower("clip")), noise(1, 3, 32, 32)
    before = int8(pixels).pooled
    copy = deepcopy(int8)
    assert torch.equal(copy(pixels).pooled, before)
    other = quantize_int8(random_tower("clip", seed=5))
    copy.load_state_dict(other.state_dict())
    assert torch.equal(copy(pixels).pooled, other(pixels).pooled)


def test_gradients_are_refused_in_words() -> None:
    int8 = quantize_int8(random_tower("clip"))
    assert not any(parameter.requires_grad for parameter in int8.parameters())
    pixels = noise(1, 3, 32, 32).requires_grad_()
    with pytest.raises(ValueError, match="gives no gradients: train the model"):
        int8(pixels)
    with torch.no_grad():
        int8(pixels)


def test_off_the_cpu_it_is_refused_in_words() -> None:
    with torch.device("meta"):
        elsewhere = VisionTower(random_tower("clip").config)
    with pytest.raises(ValueError, match="on the CPU alone, and unnamed is on meta"):
        quantize_int8(elsewhere)
    moved = quantize_int8(random_tower("clip")).to("meta")
    with pytest.raises(ValueError, match="compute on the CPU alone"):
        moved(noise(1, 3, 32, 32).to("meta"))


def test_what_is_not_plain_linear_is_refused_in_words() -> None:
    tower = random_tower("clip")
    with pytest.raises(ValueError, match="int8 already"):
        quantize_int8(quantize_int8(tower))
    tower.blocks[0].mlp.fc1 = nn.Identity()  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="has a Identity where a linear layer was expected"):
        quantize_int8(tower)


def test_int8_weights_are_never_saved(tmp_path: Path) -> None:
    int8 = quantize_int8(random_tower("clip"))
    for save in (save_tower, export_huggingface):
        with pytest.raises(ValueError, match="int8 weights are not saved"):
            save(int8, tmp_path / "saved")
        assert not (tmp_path / "saved").exists()
