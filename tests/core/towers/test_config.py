"""A config says what a tower is, refuses what cannot be, and comes back from JSON as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.core.towers.toy_towers import FORMS, toy_config

from mlcd.core.images import Preprocess
from mlcd.core.towers import TowerConfig
from mlcd.core.towers.config import Form


@pytest.mark.parametrize("form", FORMS)
def test_a_config_comes_back_from_json_as_it_was(form: Form) -> None:
    config = toy_config(
        form, norm_eps=1e-3, rope_theta=100.0, preprocess=Preprocess(size=32, resize_to=40)
    )
    assert TowerConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_what_may_be_left_out_has_its_default() -> None:
    values = toy_config("clip").to_dict()
    for name in ("embed_dim", "norm_eps", "rope_theta"):
        del values[name]
    assert TowerConfig.from_dict(values) == toy_config("clip")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 7}, r"unknown tower settings \['window'\]; written by a newer version\?"),
        ({"width": None}, "width: expected a positive whole number, got None"),
        ({"width": 128.0}, "width: expected a positive whole number, got 128.0"),
        ({"depth": True}, "depth: expected a positive whole number, got True"),
        ({"depth": 0}, "depth: expected a positive whole number, got 0"),
        ({"form": "swin"}, "form 'swin': expected one of clip, rope2d, unicom"),
        ({"activation": "tanh"}, "activation 'tanh': expected one of quick_gelu"),
        ({"image_size": 7}, "image_size 7 is smaller than patch_size 8"),
        ({"num_heads": 3}, "width 128 must be divisible by num_heads 3"),
        ({"embed_dim": 64}, "embed_dim 64: the clip form has no head to change it"),
        ({"embed_dim": 0}, "embed_dim: expected a positive whole number or none, got 0"),
        ({"embed_dim": "64"}, "embed_dim: expected a positive whole number or none, got '64'"),
        ({"norm_eps": 0}, "norm_eps: expected a positive number, got 0"),
        ({"norm_eps": None}, "norm_eps: expected a positive number, got None"),
        ({"rope_theta": float("nan")}, "rope_theta: expected a positive number, got nan"),
        ({"preprocess": 7}, "preprocess: expected an object of settings, got 7"),
        ({"form": "rope2d", "width": 120, "num_heads": 4}, "= 30: the rope2d form needs heads"),
    ],
)
def test_what_cannot_be_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TowerConfig.from_dict(toy_config("clip").to_dict() | changes)


def test_missing_settings_are_named() -> None:
    values = toy_config("clip").to_dict()
    del values["width"], values["preprocess"]
    with pytest.raises(ValueError, match="tower settings missing: preprocess, width"):
        TowerConfig.from_dict(values)


def test_what_follows_from_the_settings() -> None:
    config = toy_config("unicom", image_size=45)
    assert config.grid == (5, 5)  # the rest at the edge is no patch
    assert config.head_dim == 64
    assert (config.num_prefix_tokens, config.output_dim) == (0, 24)
    assert toy_config("unicom", embed_dim=None).output_dim == 128
    clip = toy_config("clip")
    assert (clip.num_prefix_tokens, clip.output_dim) == (1, 128)
