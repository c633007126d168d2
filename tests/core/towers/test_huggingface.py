"""Against Transformers' own classes, in both directions: their folders here, ours there."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.core.towers.toy_towers import difference, noise, random_tower, randomise
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    CLIPVisionModel,
    MLCDVisionConfig,
    MLCDVisionModel,
    PreTrainedModel,
)

from mlcd.core.checkpoint import write_weights
from mlcd.core.images import Preprocess
from mlcd.core.towers import VisionTower, huggingface, load_tower
from mlcd.core.towers.config import Form
from mlcd.core.towers.huggingface import export_huggingface

SIZES = {
    "its own": (32, 32),
    "larger": (64, 64),
    "smaller": (24, 24),
    "wide": (24, 72),
    "tall": (80, 16),
    "of as many patches, but not square": (16, 64),
    "no multiple of the patch": (45, 37),
}
CLASSES: dict[str, type[PreTrainedModel]] = {"clip": CLIPVisionModel, "rope2d": MLCDVisionModel}


def their_model(form: str, **changes: Any) -> PreTrainedModel:
    settings = {
        "hidden_size": 120, "intermediate_size": 200, "num_hidden_layers": 3,
        "num_attention_heads": 5, "image_size": 32, "patch_size": 8,
    } | changes  # fmt: skip
    config = (CLIPVisionConfig if form == "clip" else MLCDVisionConfig)(**settings)
    model = CLASSES[form](config)
    randomise(model)
    return model


def as_transformers_5(model: PreTrainedModel, folder: Path) -> None:
    model.save_pretrained(folder)
    keys = load_file(folder / "model.safetensors")
    assert "embeddings.class_embedding" in keys  # without the prefix: the other case is below


def as_published(model: PreTrainedModel, folder: Path) -> None:
    """As the files on the hub: a prefix before every key, and position numbers among them."""
    model.save_pretrained(folder)
    state = load_file(folder / "model.safetensors")
    state["embeddings.position_ids"] = torch.arange(17)[None]
    published = {f"vision_model.{key}": value for key, value in state.items()}
    save_file(published, folder / "model.safetensors", metadata={"format": "pt"})


def as_shards(model: PreTrainedModel, folder: Path) -> None:
    model.save_pretrained(folder, max_shard_size="200KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 3


def as_pickle(model: PreTrainedModel, folder: Path) -> None:
    """As before safetensors."""
    model.config.save_pretrained(folder)
    state = {f"vision_model.{key}": value for key, value in model.state_dict().items()}
    torch.save(state, folder / "pytorch_model.bin")


def assert_equal(tower: VisionTower, model: PreTrainedModel, size: tuple[int, int]) -> None:
    """Every hidden state, the last tokens and the embedding of two pictures."""
    pixels = noise(2, 3, *size)
    extra = {"interpolate_pos_encoding": True} if isinstance(model, CLIPVisionModel) else {}
    with torch.no_grad():
        theirs = model(pixels, output_hidden_states=True, **extra)
        ours = tower(pixels)
        states = [tower.hidden_state(pixels, layer) for layer in range(len(tower.blocks) + 1)]
    assert len(theirs.hidden_states) == len(states)
    for state, expected in zip(states, theirs.hidden_states, strict=True):
        assert difference(state, expected) < 1e-4
    assert difference(ours.tokens, theirs.last_hidden_state) < 1e-4
    assert difference(ours.pooled, theirs.pooler_output) < 1e-4
    assert theirs.last_hidden_state.std() > 0.1  # of numbers that are not all alike
    assert ours.grid == (size[0] // 8, size[1] // 8)


@pytest.mark.parametrize("write", [as_transformers_5, as_published, as_shards, as_pickle])
@pytest.mark.parametrize("form", CLASSES)
def test_their_folders_are_read_however_they_were_written(
    form: str, write: Callable[[PreTrainedModel, Path], None], tmp_path: Path
) -> None:
    model = their_model(form)
    write(model, tmp_path)
    tower = load_tower(tmp_path)
    assert tower.config.form == form
    assert_equal(tower, model, SIZES["its own"])


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("form", CLASSES)
def test_pictures_of_any_size_give_their_numbers(
    form: str, size: tuple[int, int], tmp_path: Path
) -> None:
    model = their_model(form)
    model.save_pretrained(tmp_path)
    assert_equal(load_tower(tmp_path), model, size)


@pytest.mark.parametrize(
    ("form", "changes"),
    [
        ("clip", {"hidden_act": "gelu", "layer_norm_eps": 1e-3}),
        ("clip", {"hidden_act": "gelu_pytorch_tanh"}),
        ("rope2d", {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-3}),
        ("rope2d", {"rope_parameters": {"rope_type": "axial", "rope_theta": 100.0}}),
        ("rope2d", {"hidden_size": 104, "num_attention_heads": 1}),  # bigG's heads of 104
    ],
)
def test_every_setting_of_the_config_counts(
    form: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    model = their_model(form, **changes)
    model.save_pretrained(tmp_path)
    assert_equal(load_tower(tmp_path), model, SIZES["wide"])


@pytest.mark.parametrize("form", CLASSES)
def test_a_config_may_leave_out_what_is_the_default_of_the_class(
    form: Form, tmp_path: Path
) -> None:
    name = {"clip": "clip_vision_model", "rope2d": "mlcd_vision_model"}[form]
    (tmp_path / "config.json").write_text(json.dumps({"model_type": name}))
    ours = huggingface.read_config(tmp_path)
    theirs = (CLIPVisionConfig if form == "clip" else MLCDVisionConfig)()
    assert (ours.width, ours.mlp_width) == (theirs.hidden_size, theirs.intermediate_size)
    assert (ours.depth, ours.num_heads) == (theirs.num_hidden_layers, theirs.num_attention_heads)
    assert (ours.image_size, ours.patch_size) == (theirs.image_size, theirs.patch_size)
    assert (ours.activation, ours.norm_eps) == (theirs.hidden_act, theirs.layer_norm_eps)


@pytest.mark.parametrize("size", ["its own", "wide"])
@pytest.mark.parametrize("form", CLASSES)
def test_our_export_is_read_there_without_a_missing_or_unexpected_key(
    form: Form, size: str, tmp_path: Path
) -> None:
    tower = random_tower(form)
    export_huggingface(tower, tmp_path / "out")
    keys = load_file(tmp_path / "out" / "model.safetensors")
    assert all(key.startswith("vision_model.") for key in keys)
    model, report = CLASSES[form].from_pretrained(tmp_path / "out", output_loading_info=True)
    assert {name: list(keys) for name, keys in report.items() if keys} == {}
    assert_equal(tower, model.eval(), SIZES[size])


@pytest.mark.parametrize("form", CLASSES)
def test_an_export_in_shards_is_read_there(
    form: Form, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tower = random_tower(form)
    small = partial(write_weights, shard_bytes=200_000)
    monkeypatch.setattr(huggingface, "write_weights", small)
    export_huggingface(tower, tmp_path / "out")
    assert len(list((tmp_path / "out").glob("model-*.safetensors"))) > 3
    assert_equal(tower, CLASSES[form].from_pretrained(tmp_path / "out").eval(), SIZES["its own"])
    assert_equal(load_tower(tmp_path / "out"), tower_model(tmp_path / "out", form), SIZES["tall"])


def tower_model(folder: Path, form: str) -> PreTrainedModel:
    return CLASSES[form].from_pretrained(folder).eval()


@pytest.mark.parametrize("form", CLASSES)
def test_an_export_comes_back_bit_by_bit(form: Form, tmp_path: Path) -> None:
    tower = random_tower(form)
    export_huggingface(tower, tmp_path / "out")
    back = load_tower(tmp_path / "out")
    assert back.config == tower.config
    assert back.weights_sha256() == tower.weights_sha256()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_an_export_in_half_precision_says_so(dtype: torch.dtype, tmp_path: Path) -> None:
    export_huggingface(random_tower("clip"), tmp_path / "out", dtype=dtype)
    assert {
        value.dtype for value in load_file(tmp_path / "out" / "model.safetensors").values()
    } == {dtype}
    model = CLIPVisionModel.from_pretrained(tmp_path / "out", dtype="auto")
    assert model.dtype == dtype


def test_preprocessing_goes_along(tmp_path: Path) -> None:
    preprocess = Preprocess(size=32, resize_to=40, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    export_huggingface(random_tower("clip", preprocess=preprocess), tmp_path / "out")
    theirs = CLIPImageProcessorPil.from_pretrained(tmp_path / "out")
    assert theirs.size["shortest_edge"] == 40
    assert theirs.crop_size["height"] == 32
    assert tuple(theirs.image_mean) == preprocess.mean
    assert load_tower(tmp_path / "out").config.preprocess == preprocess


def test_the_unicom_form_has_no_class_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no class for the unicom form"):
        export_huggingface(random_tower("unicom"), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


CLIP = {"model_type": "clip_vision_model"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "clip", "vision_config": {}}, "'clip' model has more than a vision tower"),
        ({"model_type": "siglip_vision_model"}, "expected clip_vision_model or mlcd_vision_model"),
        ({}, "model_type None is not a tower"),
        (CLIP | {"num_channels": 1}, "num_channels 1 is not supported, expected 3"),
        (CLIP | {"hidden_act": "swish9"}, "hidden_act 'swish9' is not supported"),
        (CLIP | {"image_size": [224, 336]}, r"image_size \[224, 336\] is not supported"),
        (CLIP | {"hidden_size": None}, "width: expected a positive whole number, got None"),
        (CLIP | {"layer_norm_eps": "small"}, "norm_eps: expected a positive number, got 'small'"),
        (CLIP | {"num_attention_heads": 7}, "width 768 must be divisible by num_heads 7"),
        (
            {"model_type": "mlcd_vision_model", "num_key_value_groups": 2},
            "num_key_value_groups 2 is not supported",
        ),
        (
            {"model_type": "mlcd_vision_model", "rope_parameters": {"rope_type": "yarn"}},
            "rope_type 'yarn' is not supported",
        ),
        (
            {"model_type": "mlcd_vision_model", "rope_parameters": 7},
            "rope_parameters 7 is not supported",
        ),
        (
            {"model_type": "mlcd_vision_model", "rope_parameters": {"rope_theta": "big"}},
            "rope_theta: expected a positive number, got 'big'",
        ),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(
    values: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match=message):
        huggingface.read_config(tmp_path)
