"""A folder is what its config.json says; another family is refused with its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.core.language.formats.folders import (
    llava_next_folder,
    speaking_vlm,
    transformers_folder,
)
from tests.core.towers.toy_towers import random_tower

from mlcd.core.language import load_vlm, save_vlm
from mlcd.core.language.formats.recognise import recognise
from mlcd.core.towers import save_tower

LLAMA = {"text_config": {"model_type": "llama"}, "vision_config": {}}
FAMILIES: dict[str, tuple[dict[str, Any], str]] = {
    "llava 1.5": (
        {"model_type": "llava", **LLAMA},
        "this is LLaVA-1.5 in Transformers' layout .model_type 'llava'. with a llama language",
    ),
    "vicuna": ({"model_type": "llava_llama"}, "LLaVA-1.5 or LLaVA-NeXT with a Llama or Vicuna"),
    "mistral": ({"model_type": "llava_mistral"}, "LLaVA-NeXT with a Mistral language model"),
    "qwen2-vl": ({"model_type": "qwen2_vl", "vision_config": {}}, "this is Qwen2-VL"),
    "qwen2.5-vl": ({"model_type": "qwen2_5_vl"}, "this is Qwen2.5-VL"),
    "internvl": ({"model_type": "internvl_chat"}, "this is InternVL"),
    "next video": ({"model_type": "llava_next_video", **LLAMA}, "this is LLaVA-NeXT-Video"),
    "unknown": ({"model_type": "hovercraft", "vision_config": {}}, "of another family .model_type"),
    "text": ({"model_type": "qwen2"}, "a language model without a vision tower .* 'qwen2'"),
    "segmentation": (
        {"model_type": "qwen2", "architectures": ["MLCD_SegForCausalLM"]},
        "a segmentation model .MLCD_SegForCausalLM., for `mlcd seg`",
    ),
    "tower": ({"model_type": "clip_vision_model"}, "a vision tower without a language model"),
    "nothing": ({}, "a config.json without a model_type"),
    "odd": ({"model_type": ["llava"]}, "a config.json without a model_type"),
    "another kind": ({"kind": "gallery"}, "a model folder of ours of kind 'gallery'"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_another_family_is_refused_in_a_sentence_that_names_it(family: str, tmp_path: Path) -> None:
    values, message = FAMILIES[family]
    folder = tmp_path / "mlcd-embodied-llava_qwen"  # a name says nothing
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match=message) as error:
        load_vlm(folder)
    assert "what is read here: LLaVA-NeXT's LlavaQwenForCausalLM" in str(error.value)


def test_a_tower_of_ours_is_no_vision_language_model(tmp_path: Path) -> None:
    save_tower(random_tower("clip"), tmp_path / "tower")
    with pytest.raises(ValueError, match=r"a vision tower alone.*mlcd towers check"):
        load_vlm(tmp_path / "tower")


def test_each_layout_says_what_it_is(tmp_path: Path) -> None:
    save_vlm(speaking_vlm(), tmp_path / "ours")
    llava_next_folder(tmp_path / "llava")
    transformers_folder(tmp_path / "hf")
    descriptions = [recognise(tmp_path / name).description for name in ("ours", "llava", "hf")]
    assert descriptions == [
        "our model folder",
        "LLaVA-NeXT folder of LlavaQwenForCausalLM",
        "Transformers folder of LlavaNextForConditionalGeneration",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "expected a JSON object"),
        ('{"kind": "vision_language_model"}', "config.json: settings missing"),
        ('{"kind": "vision_language_model", "tower": 1}', "config.json: settings missing"),
    ],
)
def test_a_damaged_config_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        recognise(tmp_path)


def test_what_is_no_folder_of_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a model folder with a config\.json$"):
        recognise(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"config\.json, got a file"):
        recognise(tmp_path / "model.safetensors")
