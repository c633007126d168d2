"""LLaVA-NeXT's folders are read as its code reads them, or refused with the setting."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.core.language.formats.folders import (
    LANGUAGE,
    edit_config,
    edit_weights,
    llava_next_folder,
    logits_of,
    same_weights,
    speaking_vlm,
    transformers_folder,
)
from tests.core.towers.toy_towers import random_tower
from transformers import Qwen2ForCausalLM

from mlcd.core.checkpoint import write_weights
from mlcd.core.language import load_vlm
from mlcd.core.language.formats.llava_next import read_config
from mlcd.core.language.formats.recognise import recognise
from mlcd.core.language.merging import num_image_tokens
from mlcd.core.language.presets import mlcd_next_7b
from mlcd.core.towers import save_tower
from mlcd.core.towers.config import Form
from mlcd.core.towers.huggingface import export_huggingface
from mlcd.core.towers.presets import mlcd_l14_336

TOWER = "model.vision_tower."

# As LLaVA-NeXT's training writes it, with the flags of the published second stage.
PUBLISHED: dict[str, Any] = {
    "_name_or_path": "Qwen/Qwen2.5-7B-Instruct",
    "architectures": ["LlavaQwenForCausalLM"],
    "add_faster_video": False,
    "add_time_instruction": False,
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "faster_token_stride": 10,
    "force_sample": False,
    "hidden_act": "silu",
    "hidden_size": 3584,
    "image_aspect_ratio": "anyres",
    "image_crop_resolution": None,
    "image_grid_pinpoints": [[448, 896], [896, 448], [896, 896], [1344, 448], [448, 1344]],
    "image_split_resolution": None,
    "initializer_range": 0.02,
    "intermediate_size": 18944,
    "max_position_embeddings": 32768,
    "max_window_layers": 28,
    "mm_hidden_size": 1664,
    "mm_newline_position": "grid",
    "mm_patch_merge_type": "spatial_unpad",
    "mm_projector_lr": None,
    "mm_projector_type": "mlp2x_gelu",
    "mm_resampler_type": None,
    "mm_spatial_pool_mode": "bilinear",
    "mm_tunable_parts": "mm_vision_tower,mm_mlp_adapter,mm_language_model",
    "mm_use_im_patch_token": False,
    "mm_use_im_start_end": False,
    "mm_vision_select_feature": "patch",
    "mm_vision_select_layer": -2,
    "mm_vision_tower": "DeepGlint-AI/mlcd-vit-bigG-patch14-448",
    "mm_vision_tower_lr": 2e-06,
    "model_type": "llava_qwen",
    "num_attention_heads": 28,
    "num_hidden_layers": 28,
    "num_key_value_heads": 4,
    "pos_skipping_range": 4096,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1000000.0,
    "sliding_window": 131072,
    "tie_word_embeddings": False,
    "tokenizer_model_max_length": 32768,
    "tokenizer_padding_side": "right",
    "torch_dtype": "bfloat16",
    "transformers_version": "4.44.0",
    "use_cache": True,
    "use_mm_proj": True,
    "use_pos_skipping": False,
    "use_sliding_window": False,
    "vision_tower_pretrained": None,
    "vocab_size": 152064,
}


def test_the_published_config_of_mlcd_next_7b() -> None:
    expected = mlcd_next_7b()
    config = read_config(PUBLISHED, Path("config.json"), expected.tower)
    language = dict(config.language)
    assert language.pop("max_window_layers") == 28  # has no effect without sliding windows
    assert language == expected.language
    assert config.to_dict() | {"language": 0} == expected.to_dict() | {"language": 0}


@pytest.mark.parametrize("form", ["clip", "rope2d"])
@pytest.mark.parametrize("merge", ["spatial_unpad", "flat"])
def test_a_folder_is_read_with_the_tower_that_it_names(
    form: Form, merge: str, tmp_path: Path
) -> None:
    vlm = llava_next_folder(tmp_path / "model", form, merge=merge, max_length=77)
    source = recognise(tmp_path / "model")
    assert source.notes == ()
    loaded = load_vlm(tmp_path / "model")
    assert loaded.config.to_dict() | {"language": 0} == vlm.config.to_dict() | {"language": 0}
    assert loaded.tokenizer is not None
    assert same_weights(loaded, vlm)


@pytest.mark.parametrize("file", ["shards", "pytorch_model.bin", "without vision_model."])
def test_other_ways_in_which_weights_lie(file: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    vlm = llava_next_folder(folder)
    state = load_file(folder / "model.safetensors")
    if file.startswith("without"):
        edit_weights(folder, lambda _: {k.replace("vision_model.", ""): state[k] for k in state})
    else:
        (folder / "model.safetensors").unlink()
    if file == "shards":
        write_weights(folder, state, shard_bytes=200_000)
        assert len(list(folder.glob("model-*.safetensors"))) > 2
    elif file == "pytorch_model.bin":
        torch.save(state, folder / file)
    assert same_weights(load_vlm(folder), vlm)


@pytest.mark.parametrize("form", ["clip", "rope2d"])
@pytest.mark.parametrize("name", ["of another place", "nowhere/at-all", "", None])
def test_the_weights_tell_the_tower_when_its_folder_is_not_there(
    form: Form, name: str | None, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    vlm = llava_next_folder(folder, form)
    edit_config(folder, mm_vision_tower=name)
    source = recognise(folder)
    assert source.config.tower == vlm.config.tower
    assert "is not on this disk: the architecture is told by its weights" in source.notes[0]
    assert torch.equal(logits_of(load_vlm(folder)), logits_of(vlm))


def test_weights_that_do_not_tell_the_tower_are_refused(tmp_path: Path) -> None:
    llava_next_folder(tmp_path / "model", "rope2d", image_layout="square", pinpoints=())
    edit_config(tmp_path / "model", mm_vision_tower="nowhere/at-all")
    with pytest.raises(ValueError, match="do not tell heads and image size: set mm_vision_tower"):
        recognise(tmp_path / "model")


def test_a_tower_of_another_family_inside_is_refused(tmp_path: Path) -> None:
    llava_next_folder(tmp_path / "model")
    edit_config(tmp_path / "model", mm_vision_tower="google/siglip-so400m-patch14-384")
    edit_weights(
        tmp_path / "model",
        lambda state: {key: value for key, value in state.items() if "class_emb" not in key},
    )
    with pytest.raises(ValueError, match="only CLIP and MLCD towers"):
        recognise(tmp_path / "model")


@pytest.mark.parametrize("write", [save_tower, export_huggingface])
@pytest.mark.parametrize("form", ["clip", "rope2d"])
def test_a_tower_outside_comes_from_the_folder_that_is_named(
    form: Form, write: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    vlm = llava_next_folder(folder, form)
    edit_weights(folder, lambda state: {k: state[k] for k in state if not k.startswith(TOWER)})
    tower = random_tower(form, seed=5)
    write(tower, tmp_path / "tower")
    for name in (str(tmp_path / "tower"), "../tower"):
        edit_config(folder, mm_vision_tower=name)
        loaded = load_vlm(folder)
        vlm.tower = tower
        assert same_weights(loaded, vlm)
    assert "without its tower" in recognise(folder).description


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere/at-all", "'nowhere/at-all', which mm_vision_tower names, was not found"),
        ("missing", "'missing', which mm_vision_tower names, was not found; download it and set"),
        (None, "the tower is not in this folder, and mm_vision_tower names none"),
        ("../no_tower", "its mm_vision_tower: .* model_type 'bert' is not a tower"),
    ],
)
def test_a_tower_outside_that_is_not_found_is_an_error(
    name: str | None, message: str, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    llava_next_folder(folder)
    edit_weights(folder, lambda state: {k: state[k] for k in state if not k.startswith(TOWER)})
    edit_config(folder, mm_vision_tower=name)
    (tmp_path / "no_tower").mkdir()
    (tmp_path / "no_tower" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match=message):
        load_vlm(folder)


def first_stage(tmp_path: Path, **changes: Any) -> Path:
    """A projector alone, its language model and its tower in folders of their own."""
    vlm = speaking_vlm(image_layout="square", merge="flat", pinpoints=())
    assert isinstance(vlm.language, Qwen2ForCausalLM)
    vlm.language.save_pretrained(tmp_path / "qwen")
    assert vlm.tokenizer is not None
    vlm.tokenizer.save_pretrained(tmp_path / "qwen")
    export_huggingface(vlm.tower, tmp_path / "tower")
    folder = tmp_path / "projector"
    folder.mkdir()
    state = {
        f"model.mm_projector.{key}": value for key, value in vlm.projector.state_dict().items()
    }
    torch.save(state, folder / "mm_projector.bin")
    values = json.loads((tmp_path / "qwen" / "config.json").read_text()) | {
        "model_type": "llava_qwen",
        "_name_or_path": str(tmp_path / "qwen"),
        "mm_vision_tower": str(tmp_path / "tower"),
        "mm_projector_type": "mlp2x_gelu",
        "mm_tunable_parts": "mm_mlp_adapter",
        "image_aspect_ratio": "square",
        "mm_patch_merge_type": "flat",
    }
    (folder / "config.json").write_text(json.dumps(values | changes))
    return folder


def test_a_projector_of_the_first_stage_is_put_between_its_two_models(tmp_path: Path) -> None:
    folder = first_stage(tmp_path)
    vlm = speaking_vlm(image_layout="square", merge="flat", pinpoints=())
    for path in (folder, folder / "mm_projector.bin"):
        loaded = load_vlm(path)
        assert loaded.config.template == "plain"
        assert same_weights(loaded, vlm)
        assert torch.equal(logits_of(loaded), logits_of(vlm))
        assert loaded.tokenizer is not None


def test_a_projector_without_its_language_model_is_an_error(tmp_path: Path) -> None:
    folder = first_stage(tmp_path, _name_or_path="Qwen/not-here")
    with pytest.raises(ValueError, match="'Qwen/not-here', which _name_or_path names, was not"):
        load_vlm(folder)


def test_a_projector_of_another_width_is_named(tmp_path: Path) -> None:
    folder = first_stage(tmp_path)
    state = {"model.mm_projector.0.weight": torch.zeros(64, 99)}
    torch.save(torch.load(folder / "mm_projector.bin") | state, folder / "mm_projector.bin")
    with pytest.raises(ValueError, match=r"model\.mm_projector\.0\.weight 64x99 instead of 64x128"):
        load_vlm(folder)


@pytest.mark.parametrize(
    ("changes", "template"),
    [
        ({}, "qwen_1_5"),
        ({"mm_tunable_parts": "mm_mlp_adapter"}, "plain"),
        ({"mm_tunable_parts": ..., "tune_mm_mlp_adapter": True}, "plain"),
        ({"mm_tunable_parts": "mm_mlp_adapter,mm_language_model"}, "qwen_1_5"),
        ({"conversation_template": "plain"}, "plain"),
    ],
)
def test_the_template_is_told_by_the_config_alone(
    changes: dict[str, Any], template: str, tmp_path: Path
) -> None:
    folder = tmp_path / "anything-vicuna-llava-v1.5"  # a name says nothing
    llava_next_folder(folder)
    edit_config(folder, conversation_template=...)
    edit_config(folder, **changes)
    assert recognise(folder).config.template == template


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"image_grid_pinpoints": "(1x1),...,(2x2)"},
            {"pinpoints": ((32, 32), (32, 64), (64, 32), (64, 64))},
        ),
        (
            {"image_aspect_ratio": "anyres_max_9"},
            {"max_tiles": 9, "image_layout": "anyres"},
        ),
        ({"image_aspect_ratio": "pad"}, {"image_layout": "pad", "pinpoints": ()}),
        ({"image_aspect_ratio": ...}, {"image_layout": "square"}),
        ({"tokenizer_model_max_length": ..., "max_position_embeddings": 99}, {"max_length": 99}),
        ({"mm_vision_select_layer": 1}, {"hidden_layer": 1}),
    ],
)
def test_settings_are_read(
    changes: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    llava_next_folder(tmp_path / "model")
    edit_config(tmp_path / "model", **changes)
    config = recognise(tmp_path / "model").config
    assert {name: getattr(config, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mm_projector_type": "linear"}, "mm_projector_type 'linear' is not supported, expected"),
        ({"mm_projector_type": ...}, "mm_projector_type 'linear'"),
        ({"mm_resampler_type": "spatial_pool"}, "mm_resampler_type 'spatial_pool'"),
        ({"mm_vision_select_feature": "cls_patch"}, "mm_vision_select_feature 'cls_patch'"),
        ({"mm_use_im_start_end": True}, "mm_use_im_start_end True"),
        ({"mm_newline_position": "one_token"}, "mm_newline_position 'one_token'"),
        ({"add_faster_video": True}, "add_faster_video True"),
        ({"use_pos_skipping": True}, "use_pos_skipping True"),
        ({"use_mm_proj": False}, "use_mm_proj False"),
        ({"s2": True}, "s2 True"),
        ({"image_aspect_ratio": "highres"}, "image_aspect_ratio 'highres'"),
        ({"image_aspect_ratio": "anyres_max_x"}, "image_aspect_ratio 'anyres_max_x'"),
        ({"mm_patch_merge_type": "spatial"}, "merge 'spatial'"),
        ({"mm_vision_select_layer": [-2, -5]}, r"mm_vision_select_layer \[-2, -5\]"),
        ({"mm_vision_select_layer": -9}, "hidden_layer -9"),
        ({"image_grid_pinpoints": [[33, 64]]}, r"pinpoint \(33, 64\)"),
        ({"image_grid_pinpoints": 7}, "pinpoints 7"),
        ({"conversation_template": "vicuna_v1"}, "conversation_template 'vicuna_v1' is not known"),
        ({"hidden_size": "wide"}, "no Qwen2 language model"),
    ],
)
def test_a_setting_that_is_not_read_here_is_named(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    llava_next_folder(tmp_path / "model")
    edit_config(tmp_path / "model", **changes)
    with pytest.raises(ValueError, match=message):
        recognise(tmp_path / "model")


def test_scaling_of_positions_is_left_out_as_the_published_class_leaves_it(tmp_path: Path) -> None:
    llava_next_folder(tmp_path / "model")
    edit_config(tmp_path / "model", rope_scaling={"type": "yarn", "factor": 4.0})
    rope = recognise(tmp_path / "model").config.language["rope_parameters"]
    assert rope == {"rope_type": "default", "rope_theta": 1_000_000.0}


def test_tied_embeddings_are_read_with_and_without_a_head_in_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    vlm = llava_next_folder(folder, language={**LANGUAGE, "tie_word_embeddings": True})
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    assert same_weights(load_vlm(folder), vlm)
    edit_weights(folder, lambda s: s | {"lm_head.weight": s["model.embed_tokens.weight"].clone()})
    assert same_weights(load_vlm(folder), vlm)


def test_the_two_unpad_rules_are_pinned(tmp_path: Path) -> None:
    """At 376 x 799 the published code keeps other columns than Transformers."""
    llava_next_folder(tmp_path / "theirs")
    transformers_folder(tmp_path / "hf")
    published, rounded = (recognise(tmp_path / name).config for name in ("theirs", "hf"))
    assert (published.unpad_rule, rounded.unpad_rule) == ("truncate", "round")
    pinpoints = ((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008))
    large = {"tower": mlcd_l14_336(), "pinpoints": pinpoints}
    assert num_image_tokens((376, 799), replace(published, **large)) == 1826
    assert num_image_tokens((376, 799), replace(rounded, **large)) == 1876


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    llava_next_folder(folder)
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    write_weights(folder, state, shard_bytes=200_000)
    first = min(folder.glob("model-*.safetensors"))
    first.unlink()
    with pytest.raises(ValueError, match=f"shards missing, first {first.name}"):
        load_vlm(folder)


def test_keys_are_named_as_the_file_has_them(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    llava_next_folder(folder)
    state = load_file(folder / "model.safetensors")
    del state["model.image_newline"]
    save_file(state | {"model.extra": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(
        ValueError,
        match=r"1 missing key: model\.image_newline; 1 unexpected key: model\.extra; see `mlcd emb",
    ):
        load_vlm(folder)
