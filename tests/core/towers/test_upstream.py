"""The authors' own files: recognised by keys and shapes alone, and computed as their networks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.core.towers.toy_towers import difference, noise, random_tower, randomise
from tests.core.towers.unicom_by_hand import unicom_by_hand, unicom_weights
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModel, MLCDVisionConfig, MLCDVisionModel

from mlcd.core.towers import load_tower
from mlcd.core.towers.naming import NATIVE_CLIP, NATIVE_ROPE2D
from mlcd.core.towers.upstream import infer, wrapper_prefix

SIZES = {
    "hidden_size": 128, "intermediate_size": 192, "num_hidden_layers": 2,
    "num_attention_heads": 2, "image_size": 32, "patch_size": 8,
}  # fmt: skip


def native_names(model: CLIPVisionModel | MLCDVisionModel) -> dict[str, Tensor]:
    """Their state dict under the names of the authors' files, by the published table."""
    theirs = model.state_dict()
    native: dict[str, Tensor] = {
        "conv1.weight": theirs["embeddings.patch_embedding.weight"],
        "class_embedding": theirs["embeddings.class_embedding"],
    }
    for name, other in (("ln_pre", "pre_layrnorm"), ("ln_post", "post_layernorm")):
        for leaf in ("weight", "bias"):
            native[f"{name}.{leaf}"] = theirs[f"{other}.{leaf}"]
    is_clip = isinstance(model, CLIPVisionModel)
    if is_clip:
        native["positional_embedding"] = theirs["embeddings.position_embedding.weight"]
    else:
        native["class_pos_emb"] = theirs["class_pos_emb"]
    for i in range(2):
        block, layer = f"transformer.resblocks.{i}", f"encoder.layers.{i}"
        for leaf in ("weight", "bias"):
            parts = [theirs[f"{layer}.self_attn.{n}_proj.{leaf}"] for n in "qkv"]
            joint = "_" if is_clip else "."
            native[f"{block}.attn.in_proj{joint}{leaf}"] = torch.cat(parts)
            native[f"{block}.attn.out_proj.{leaf}"] = theirs[f"{layer}.self_attn.out_proj.{leaf}"]
            for name, other in (("ln_1", "layer_norm1"), ("ln_2", "layer_norm2"),
                                ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2")):  # fmt: skip
                native[f"{block}.{name}.{leaf}"] = theirs[f"{layer}.{other}.{leaf}"]
    return native


def clip_model() -> CLIPVisionModel:
    model = CLIPVisionModel(CLIPVisionConfig(**SIZES))
    randomise(model)
    return model


def rope2d_model() -> MLCDVisionModel:
    model = MLCDVisionModel(MLCDVisionConfig(**SIZES))
    randomise(model)
    return model


@torch.no_grad()
def test_native_clip_weights_compute_what_the_published_class_computes(tmp_path: Path) -> None:
    model = clip_model()
    state = native_names(model) | {"proj": torch.zeros(128, 64)}  # of no meaning for a tower
    torch.save(state, tmp_path / "weights.pt")
    tower = load_tower(tmp_path / "weights.pt")
    assert (tower.config.form, tower.config.activation) == ("clip", "quick_gelu")
    pixels = noise(2, 3, 32, 32)
    output, theirs = tower(pixels), model(pixels)
    assert difference(output.tokens, theirs.last_hidden_state) < 1e-4
    assert difference(output.pooled, theirs.pooler_output) < 1e-4


@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "module.", "module._orig_mod."])
@torch.no_grad()
def test_native_rope2d_weights_with_what_wrappers_left_before_the_keys(
    prefix: str, tmp_path: Path
) -> None:
    model = rope2d_model()
    state = native_names(model) | {"proj": torch.zeros(3), "positional_embedding": noise(17, 128)}
    torch.save({prefix + key: value for key, value in state.items()}, tmp_path / "weights.pt")
    tower = load_tower(tmp_path / "weights.pt")
    assert (tower.config.form, tower.config.activation) == ("rope2d", "gelu")
    assert tower.config.image_size == 32  # told by the position table that was left in the file
    pixels = noise(2, 3, 24, 40)
    output, theirs = tower(pixels), model(pixels)
    assert difference(output.tokens, theirs.last_hidden_state) < 1e-4
    assert difference(output.pooled, theirs.pooler_output) < 1e-4


@torch.no_grad()
def test_unicom_weights_of_mixed_number_types_are_read(tmp_path: Path) -> None:
    state = unicom_weights()
    mixed = {
        key: value.half() if value.is_floating_point() and "norm" not in key else value
        for key, value in state.items()
    }
    mixed["feature.1.running_var"] = mixed["feature.1.running_var"].double()
    mixed["feature.2.weight"] = mixed["feature.2.weight"].bfloat16()
    torch.save(mixed, tmp_path / "weights.pt")
    tower = load_tower(tmp_path / "weights.pt")
    floats = {value.dtype for value in tower.state_dict().values() if value.is_floating_point()}
    assert floats == {torch.float32}
    pixels = noise(3, 32, 32)
    expected = unicom_by_hand({key: value.double() for key, value in mixed.items()}, pixels)[1]
    assert difference(tower(pixels[None]).pooled[0], expected.float()) < 1e-4


@pytest.mark.parametrize("wrapping", ["state_dict", "model"])
def test_a_state_dict_within_a_checkpoint_is_found(wrapping: str, tmp_path: Path) -> None:
    torch.save({wrapping: unicom_weights(), "epoch": 3}, tmp_path / "weights.pt")
    assert load_tower(tmp_path / "weights.pt").config.form == "unicom"


def test_files_in_the_format_before_torch_1_6_are_read(tmp_path: Path) -> None:
    torch.save(unicom_weights(), tmp_path / "weights.pt", _use_new_zipfile_serialization=False)
    assert load_tower(tmp_path / "weights.pt").config.form == "unicom"


def test_the_architecture_comes_from_the_shapes() -> None:
    state = unicom_weights(width=192, depth=3, patch=16, grid=6, embed_dim=40)
    config, _ = infer({key: tuple(value.shape) for key, value in state.items()}, image_size=None)
    assert (config.width, config.depth, config.num_heads, config.mlp_width) == (192, 3, 3, 768)
    assert (config.patch_size, config.image_size, config.embed_dim) == (16, 96, 40)
    assert config.preprocess.size == 96


def test_a_rope2d_file_fits_every_size_and_takes_336_unless_told() -> None:
    tower = random_tower("rope2d", width=208, num_heads=2)  # heads of 104, told by class_pos_emb
    shapes = {key: tuple(v.shape) for key, v in NATIVE_ROPE2D.publish(tower.state_dict()).items()}
    config, naming = infer(shapes, image_size=None)
    assert naming is NATIVE_ROPE2D
    assert (config.image_size, config.num_heads, config.mlp_width) == (336, 2, 192)
    config, _ = infer(shapes, image_size=448)
    assert (config.image_size, config.preprocess.size) == (448, 448)


def test_wrapper_prefixes_are_those_of_every_key() -> None:
    assert wrapper_prefix({"module.a": (), "module.b": ()}) == "module."
    assert wrapper_prefix({"module.a": (), "b": ()}) == ""
    assert wrapper_prefix({}) == ""


SHAPES = {
    key: tuple(value.shape)
    for key, value in NATIVE_CLIP.publish(random_tower("clip").state_dict()).items()
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv1.weight": None}, "missing key: conv1.weight, without which the architecture"),
        ({"conv1.weight": (128,)}, r"misshapen key: conv1.weight has shape \(128,\), expected 4"),
        ({"positional_embedding": (19, 128)}, "has 18 patch positions, not a square grid"),
        ({"positional_embedding": (0, 128)}, "has -1 patch positions, not a square grid"),
        (
            {"conv1.weight": (100, 3, 8, 8)},
            "width 100 is no multiple of 64, so the number of heads",
        ),
        ({"transformer.resblocks.999999999.ln_1.bias": (8,)}, "block 999999999 among"),
    ],
)
def test_shapes_that_tell_no_architecture_are_refused_by_name(
    changes: dict[str, tuple[int, ...] | None], message: str
) -> None:
    shapes = {**SHAPES, **changes}
    with pytest.raises(ValueError, match=message):
        infer({key: shape for key, shape in shapes.items() if shape is not None}, image_size=None)


@pytest.mark.parametrize("length", [0, 17])
def test_class_angles_that_fit_no_head_are_refused(length: int) -> None:
    shapes = {key: tuple(v.shape) for key, v in native_names(rope2d_model()).items()}
    shapes["class_pos_emb"] = (1, length)
    with pytest.raises(ValueError, match=f"heads of {2 * length} channels"):
        infer(shapes, image_size=None)


def test_keys_of_no_known_format_are_named() -> None:
    with pytest.raises(ValueError, match=r"keys of no known tower format \(first a, b, c\)"):
        infer(dict.fromkeys("abcd", ()), image_size=None)
