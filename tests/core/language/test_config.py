"""A config says everything, comes back from JSON as it was, and names what is wrong with it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from tests.core.language.toy_models import SIDE, TOY_LANGUAGE, toy_vlm_config
from transformers import Qwen2Config

from mlcd.core.images import Preprocess
from mlcd.core.language import VlmConfig
from mlcd.core.language.config import language_values
from mlcd.core.language.presets import mlcd_embodied_7b, mlcd_next_7b


@pytest.mark.parametrize(
    "config",
    [
        toy_vlm_config(),
        toy_vlm_config("rope2d", max_tiles=3, unpad_rule="round", several_images="tiled"),
        toy_vlm_config(image_layout="pad", pinpoints=(), merge="flat", template="plain"),
        mlcd_next_7b(),
        mlcd_embodied_7b(),
    ],
)
def test_a_config_comes_back_from_json(config: VlmConfig) -> None:
    assert VlmConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_layout": "anyres_max_9"}, r"image_layout 'anyres_max_9': expected one of square"),
        ({"merge": "unpad"}, "merge 'unpad': expected one of flat, spatial_unpad"),
        ({"template": "vicuna"}, "template 'vicuna': expected one of plain, qwen_1_5"),
        ({"unpad_rule": "floor"}, "unpad_rule 'floor': expected one of truncate, round"),
        ({"several_images": "all"}, "several_images 'all': expected one of tiled, padded"),
        ({"hidden_layer": -5}, "hidden_layer -5: this tower has hidden states -4 to 3"),
        ({"hidden_layer": [-2, -5]}, "hidden_layer"),
        ({"pinpoints": ()}, "'anyres' needs pinpoints"),
        ({"pinpoints": ((SIDE, SIDE + 1),)}, r"pinpoint \(32, 33\): .*multiples of 32"),
        ({"pinpoints": ((SIDE,),)}, "expected a width and a height"),
        ({"max_tiles": 0}, "max_tiles: expected a positive whole number or none, got 0"),
        ({"max_tiles": 4, "merge": "flat"}, "only with anyres and spatial_unpad"),
        ({"max_length": 0}, "max_length: expected a positive whole number, got 0"),
        ({"language": {"vocab_size": 9}}, "language.hidden_size: expected a positive"),
        ({"language": {**TOY_LANGUAGE, "quantization_config": {}}}, "quantization_config"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        toy_vlm_config(**changes)


def test_tiles_need_the_size_that_the_tower_was_made_for() -> None:
    tower = toy_vlm_config().tower.to_dict() | {"preprocess": Preprocess(size=48).to_dict()}
    with pytest.raises(ValueError, match="for pictures of 32, its preprocessing gives 48"):
        VlmConfig.from_dict(toy_vlm_config().to_dict() | {"tower": tower})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"surprise": 1}, r"unknown settings \['surprise'\]"),
        ({"tower": None}, "tower: expected an object"),
        ({"language": []}, "language: expected an object"),
        ({"pinpoints": "336"}, "pinpoints: expected a list"),
    ],
)
def test_a_file_that_is_wrong_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VlmConfig.from_dict(toy_vlm_config().to_dict() | changes)


def test_a_setting_that_is_missing_is_named() -> None:
    values = toy_vlm_config().to_dict()
    del values["merge"], values["tower"]
    with pytest.raises(ValueError, match="settings missing: merge, tower"):
        VlmConfig.from_dict(values)


def test_the_language_values_are_those_that_make_the_architecture() -> None:
    theirs = Qwen2Config(**TOY_LANGUAGE, eos_token_id=7, tie_word_embeddings=True)
    kept = language_values(theirs.to_dict())
    assert kept.items() >= {**TOY_LANGUAGE, "eos_token_id": 7, "tie_word_embeddings": True}.items()
    assert Qwen2Config(**kept).to_dict() == theirs.to_dict()
    assert toy_vlm_config(language=kept).width == 64


def test_the_rotation_is_read_as_older_files_write_it() -> None:
    old = {**TOY_LANGUAGE, "rope_theta": 5e5, "rope_scaling": None}
    del old["rope_parameters"]
    kept = language_values(old)
    assert kept["rope_parameters"] == {"rope_type": "default", "rope_theta": 5e5}
    assert Qwen2Config(**kept).rope_parameters["rope_theta"] == 5e5


def test_configs_are_read_without_torch() -> None:
    program = "import sys, mlcd.core.language; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
