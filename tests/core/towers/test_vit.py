"""The tower as a whole: one forward for every form, layers on demand, packs, other resolutions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from tests.core.towers.test_patches import zoomed_by_hand
from tests.core.towers.toy_towers import FORMS, difference, noise, random_tower
from tests.core.towers.unicom_by_hand import unicom_by_hand, unicom_weights
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mlcd.core.images import ImageError, Preprocess
from mlcd.core.towers import VisionTower, load_tower
from mlcd.core.towers.config import Form

ANY_SIZE: tuple[Form, ...] = ("clip", "rope2d")


def test_the_unicom_form_equals_a_slow_obvious_program(tmp_path: Path) -> None:
    """From the file on: names, order of queries, keys and values, ReLU6, head, epsilons."""
    state = unicom_weights()
    torch.save(state, tmp_path / "any-name.pt")
    tower = load_tower(tmp_path / "any-name.pt")
    assert tower.config.form == "unicom"
    pixels = noise(2, 3, 32, 32)
    with torch.no_grad():
        output = tower(pixels)
    for picture, tokens, pooled in zip(pixels, output.tokens, output.pooled, strict=True):
        expected_tokens, expected_pooled = unicom_by_hand(state, picture)
        assert difference(tokens, expected_tokens.float()) < 1e-4
        assert difference(pooled, expected_pooled.float()) < 1e-4
    hidden = state["blocks.0.mlp.fc1.weight"] @ state["norm.weight"]
    assert hidden.abs().max() > 6  # so that ReLU6 differs from ReLU here


@pytest.mark.parametrize("form", FORMS)
def test_shapes_are_those_of_the_docstrings(form: Form) -> None:
    tower = random_tower(form)
    output = tower(noise(2, 3, 32, 32))
    prefix = tower.config.num_prefix_tokens
    assert output.tokens.shape == (2, prefix + 16, 128)
    assert output.patches.shape == (2, 16, 128)
    assert difference(output.patches, output.tokens[:, prefix:]) == 0
    assert output.pooled.shape == (2, tower.config.output_dim)
    assert output.grid == (4, 4)


# --- hidden_state ------------------------------------------------------------------------------


def count_block_calls(tower: VisionTower) -> list[int]:
    """Which blocks are called from now on, in order."""
    calls: list[int] = []
    for number, block in enumerate(tower.blocks):
        block.register_forward_hook(lambda *_, number=number: calls.append(number))
    return calls


@pytest.mark.parametrize(
    ("layer", "computed"),
    [(-2, [0, 1]), (-1, [0, 1, 2]), (0, []), (1, [0]), (3, [0, 1, 2]), (-4, [])],
)
@pytest.mark.parametrize("form", FORMS)
def test_a_hidden_state_computes_no_later_layer(
    form: Form, layer: int, computed: list[int]
) -> None:
    tower = random_tower(form)
    calls = count_block_calls(tower)
    tower.hidden_state(noise(1, 3, 32, 32), layer)
    assert calls == computed


@pytest.mark.parametrize("form", FORMS)
def test_negative_layers_count_from_the_end_and_minus_two_is_the_default(form: Form) -> None:
    tower, pixels = random_tower(form), noise(2, 3, 32, 32)
    for layer in range(4):
        ahead, behind = tower.hidden_state(pixels, layer), tower.hidden_state(pixels, layer - 4)
        assert difference(ahead, behind) == 0
    assert difference(tower.hidden_state(pixels), tower.hidden_state(pixels, 2)) == 0


def test_the_last_hidden_state_is_what_forward_gives() -> None:
    tower, pixels = random_tower("rope2d"), noise(2, 3, 24, 40)
    assert difference(tower.hidden_state(pixels, -1), tower(pixels).tokens) == 0


@pytest.mark.parametrize("layer", [4, -5])
def test_a_layer_that_is_not_there_is_refused(layer: int) -> None:
    with pytest.raises(ValueError, match=f"layer {layer}: this tower has hidden states -4 to 3"):
        random_tower("clip").hidden_state(noise(1, 3, 32, 32), layer)


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_a_batch_of_no_picture_gives_nothing(form: Form) -> None:
    tower, pixels = random_tower(form), torch.empty(0, 3, 32, 32)
    tokens = tower.config.num_prefix_tokens + 16
    assert tower(pixels).tokens.shape == (0, tokens, 128)
    assert tower(pixels).pooled.shape == (0, tower.config.output_dim)
    assert tower.hidden_state(pixels).shape == (0, tokens, 128)


# --- packed ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ANY_SIZE)
@pytest.mark.parametrize("records_gradients", [False, True])
def test_packed_pictures_equal_one_by_one(form: Form, records_gradients: bool) -> None:
    tower = random_tower(form)
    sizes = [(2, 3, 32, 32), (1, 3, 24, 64), (3, 32, 32), (1, 3, 64, 24), (2, 3, 8, 8), (3, 40, 40)]
    batches = [noise(*size, seed=number) for number, size in enumerate(sizes)]
    with torch.set_grad_enabled(records_gradients):
        outputs = tower.packed(batches)
        assert len(outputs) == len(batches)
        for pixels, output in zip(batches, outputs, strict=True):
            alone = tower(pixels if pixels.ndim == 4 else pixels[None])
            assert output.grid == alone.grid
            assert difference(output.tokens, alone.tokens) < 1e-5
            assert difference(output.pooled, alone.pooled) < 1e-5


def test_unicom_pictures_are_packed_too_when_they_fit() -> None:
    tower = random_tower("unicom")
    batches = [noise(2, 3, 32, 32), noise(3, 32, 32, seed=2)]
    for pixels, output in zip(batches, tower.packed(batches), strict=True):
        alone = tower(pixels if pixels.ndim == 4 else pixels[None])
        assert difference(output.pooled, alone.pooled) < 1e-5
    with pytest.raises(ValueError, match="takes 32x32 pixels, got 40x40"):
        tower.packed([*batches, noise(3, 40, 40)])


def test_nothing_packed_gives_nothing() -> None:
    assert random_tower("clip").packed([]) == []


class LargestTensor(TorchDispatchMode):
    """The most numbers in any tensor that an operation gives."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(value, Tensor):
                self.numbers = max(self.numbers, value.numel())
        return result


@pytest.mark.parametrize("form", ANY_SIZE)
@pytest.mark.parametrize("records_gradients", [False, True])
def test_no_tensor_of_a_pack_is_a_mask_over_it(form: Form, records_gradients: bool) -> None:
    tower = random_tower(form, depth=1)
    batches = [noise(1, 3, 8 * rows, 8 * (24 - rows)) for rows in range(3, 22)]
    num_tokens = sum(tower(pixels).tokens.shape[1] for pixels in batches)
    assert num_tokens > 2000
    with torch.set_grad_enabled(records_gradients), LargestTensor() as largest:
        tower.packed(batches)
    # recorded, there are queries, keys and values of all tokens; else they share some rows' memory
    assert largest.numbers == num_tokens * (3 * 128 if records_gradients else 128)
    assert largest.numbers < num_tokens**2 / 4
    with LargestTensor() as largest:
        torch.ones(num_tokens, num_tokens, dtype=torch.bool)
    assert largest.numbers == num_tokens**2  # a mask would have been seen


# --- resolutions -------------------------------------------------------------------------------


def test_a_resized_unicom_tower_has_its_positions_and_head_zoomed() -> None:
    tower = random_tower("unicom", preprocess=Preprocess(size=32, resize_to=40))
    larger = tower.resized(56)
    assert (larger.config.image_size, larger.config.grid) == (56, (7, 7))
    assert larger.config.preprocess == Preprocess(size=56, resize_to=70)
    old, new = tower.state_dict(), larger.state_dict()
    positions = zoomed_by_hand(old["embedding.positions"], (4, 4), (7, 7))
    assert difference(new["embedding.positions"], positions) < 1e-5
    for output in (0, 57, 127):  # each output channel has a grid of its own
        by_token = old["head.reduce.weight"][output].view(16, 128)
        expected = zoomed_by_hand(by_token, (4, 4), (7, 7)).flatten()
        assert difference(new["head.reduce.weight"][output], expected) < 1e-5
    assert all(
        difference(new[key], old[key]) == 0
        for key in old
        if key not in ("embedding.positions", "head.reduce.weight")
    )
    assert larger(noise(1, 3, 56, 56)).pooled.shape == (1, 24)
    assert not larger.training


def test_a_resized_tower_shares_no_memory_with_the_first() -> None:
    tower = random_tower("unicom")
    before = tower.weights_sha256()
    larger = tower.resized(64)
    with torch.no_grad():
        for parameter in larger.parameters():
            parameter.zero_()
    assert tower.weights_sha256() == before


def test_the_same_size_again_computes_the_same() -> None:
    tower, pixels = random_tower("unicom"), noise(2, 3, 32, 32)
    assert difference(tower.resized(32)(pixels).pooled, tower(pixels).pooled) < 1e-6


@pytest.mark.parametrize("form", ANY_SIZE)
def test_the_other_forms_need_no_resizing(form: Form) -> None:
    with pytest.raises(ValueError, match=f"the {form} form takes pixels of any size as it is"):
        random_tower(form).resized(64)


# --- embed -------------------------------------------------------------------------------------


def picture(seed: int, size: tuple[int, int] = (40, 50)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.mark.parametrize("form", FORMS)
def test_embeddings_are_normalised_float32_in_the_order_given(form: Form, tmp_path: Path) -> None:
    tower = random_tower(form)
    PIL.Image.fromarray(picture(1)).save(tmp_path / "one.png")
    sources = [picture(0), tmp_path / "one.png", PIL.Image.fromarray(picture(2))]
    embeddings = tower.embed(sources)
    assert embeddings.shape == (3, tower.config.output_dim)
    assert (embeddings.dtype, embeddings.requires_grad) == (torch.float32, False)
    assert difference(embeddings.norm(dim=1), torch.ones(3)) < 1e-6
    for seed, row in enumerate(embeddings):
        pooled = tower(tower.config.preprocess.batch([picture(seed)])).pooled[0]
        assert difference(row, pooled / pooled.norm()) < 1e-6


def test_half_precision_towers_embed_in_float32() -> None:
    tower = random_tower("rope2d").bfloat16()
    embeddings = tower.embed([picture(0)])
    assert embeddings.dtype == torch.float32
    assert embeddings.norm().item() == pytest.approx(1, abs=1e-5)
    exact = random_tower("rope2d").embed([picture(0)])
    assert torch.cosine_similarity(embeddings, exact).item() > 0.999


def test_no_picture_gives_no_row_and_a_bare_one_is_refused(tmp_path: Path) -> None:
    tower = random_tower("clip")
    assert tower.embed([]).shape == (0, 128)
    with pytest.raises(ValueError, match="put a single one into a list"):
        tower.embed(picture(0))
    (tmp_path / "bad.jpg").write_text("no picture")
    with pytest.raises(ImageError, match=r"bad\.jpg"):
        tower.embed([picture(0), tmp_path / "bad.jpg"])


# --- weights -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_fresh_weights_are_small_finite_and_seeded(form: Form) -> None:
    config = random_tower(form).config
    torch.manual_seed(0)
    first = VisionTower(config)
    torch.manual_seed(0)
    assert VisionTower(config).weights_sha256() == first.weights_sha256()
    assert VisionTower(config).weights_sha256() != first.weights_sha256()
    for name, parameter in first.named_parameters():
        assert parameter.isfinite().all()
        if parameter.ndim == 2 or name == "embedding.class_token":
            assert 0.01 < parameter.std() < 0.03, name


@pytest.mark.parametrize("form", FORMS)
def test_every_parameter_takes_part_in_training(form: Form) -> None:
    tower = random_tower(form).train()
    output = tower(noise(4, 3, 32, 32))
    (output.pooled.square().sum() + output.patches.square().sum()).backward()
    without = [name for name, value in tower.named_parameters() if value.grad is None]
    assert without == []


@pytest.mark.parametrize("form", FORMS)
def test_blocks_computed_twice_give_the_same_gradients(form: Form) -> None:
    gradients = []
    for is_recomputed in (False, True):
        tower = random_tower(form).train()
        tower.recomputes_blocks = is_recomputed
        size = tower.config.image_size
        tower(noise(2, 3, size, size)).pooled.square().sum().backward()
        gradients.append([p.grad for p in tower.parameters()])
    for kept, recomputed in zip(*gradients, strict=True):
        assert kept is not None
        assert recomputed is not None
        torch.testing.assert_close(recomputed, kept)
