"""Hugging Face folders of towers: their `config.json` in both directions, and writing them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import torch

from mlcd.core.checkpoint import cast_weights, read_json, write_weights
from mlcd.core.files import atomic_folder, write_text
from mlcd.core.images import Preprocess
from mlcd.core.towers.config import Activation, Form, TowerConfig
from mlcd.core.towers.naming import HUGGINGFACE
from mlcd.core.towers.vit import VisionTower

PREFIX = "vision_model."
"""Before every key of the published files; Transformers 5 writes without it and reads both."""

PREPROCESSOR = "preprocessor_config.json"

_FORMS: dict[str, Form] = {"clip_vision_model": "clip", "mlcd_vision_model": "rope2d"}

# What the classes of Transformers take for a setting that a config.json leaves out.
_DEFAULTS: dict[Form, dict[str, Any]] = {
    "clip": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 224,
        "patch_size": 32,
        "hidden_act": "quick_gelu",
    },
    "rope2d": {
        "hidden_size": 1664,
        "intermediate_size": 8192,
        "num_hidden_layers": 48,
        "num_attention_heads": 16,
        "image_size": 336,
        "patch_size": 14,
        "hidden_act": "gelu",
    },
}
_SHARED_DEFAULTS = {"num_channels": 3, "layer_norm_eps": 1e-5, "num_key_value_groups": 1}


def read_config(folder: Path) -> TowerConfig:
    """The tower that a Hugging Face folder describes; ValueError for another kind of model."""
    path = folder / "config.json"
    return tower_config(read_json(path), path, read_preprocess(folder))


def read_preprocess(folder: Path) -> Preprocess | None:
    """How the folder says that pictures are prepared; None when it does not say."""
    path = folder / PREPROCESSOR
    if not path.is_file():
        return None
    try:
        return Preprocess.from_dict(read_json(path))
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error


def tower_config(
    values: Mapping[str, Any], path: Path, preprocess: Preprocess | None
) -> TowerConfig:
    """The tower that the values of a `config.json` describe, or of a `vision_config` within one.

    `path` is the file they come from; without `preprocess` pictures are prepared as CLIP does.
    ValueError for another kind of model.
    """
    form = _form(values, path)
    values = {**_SHARED_DEFAULTS, **_DEFAULTS[form], **values}
    for name, only in (("num_channels", 3), ("num_key_value_groups", 1)):
        if values[name] != only:
            raise ValueError(f"{path}: {name} {values[name]!r} is not supported, expected {only}")
    if values["hidden_act"] not in get_args(Activation):
        raise ValueError(
            f"{path}: hidden_act {values['hidden_act']!r} is not supported; "
            f"expected one of {', '.join(get_args(Activation))}"
        )
    image_size = _side(values["image_size"], "image_size", path)
    try:
        return TowerConfig(
            form=form,
            image_size=image_size,
            patch_size=_side(values["patch_size"], "patch_size", path),
            width=values["hidden_size"],
            depth=values["num_hidden_layers"],
            num_heads=values["num_attention_heads"],
            mlp_width=values["intermediate_size"],
            activation=values["hidden_act"],
            norm_eps=values["layer_norm_eps"],
            rope_theta=_rope_theta(values, path),
            preprocess=preprocess or Preprocess(size=image_size),
        )
    except ValueError as error:
        raise ValueError(f"{path.parent}: {error}") from error


def _form(values: Mapping[str, Any], path: Path) -> Form:
    model_type = values.get("model_type")
    if isinstance(model_type, str) and model_type in _FORMS:
        return _FORMS[model_type]
    if "vision_config" in values:
        raise ValueError(
            f"{path}: a {model_type!r} model has more than a vision tower; save the tower alone "
            "(CLIPVisionModel.from_pretrained(...).save_pretrained(...)) and read that"
        )
    raise ValueError(
        f"{path}: model_type {model_type!r} is not a tower that is read here; "
        f"expected {' or '.join(_FORMS)}"
    )


def _side(value: Any, name: str, path: Path) -> int:
    sides = {value} if isinstance(value, int) else set(value) if isinstance(value, list) else set()
    if len(sides) != 1 or not all(isinstance(side, int) for side in sides):
        raise ValueError(f"{path}: {name} {value!r} is not supported, expected one whole number")
    return int(sides.pop())


def _rope_theta(values: Mapping[str, Any], path: Path) -> Any:
    rope = values.get("rope_parameters") or {}
    if not isinstance(rope, dict):
        raise ValueError(f"{path}: rope_parameters {rope!r} is not supported, expected an object")
    if rope.get("rope_type", "axial") != "axial":
        raise ValueError(
            f"{path}: rope_type {rope['rope_type']!r} is not supported, expected axial"
        )
    return rope.get("rope_theta", 10_000.0)


def write_config(config: TowerConfig) -> dict[str, Any]:
    """The `config.json` that Transformers reads; ValueError for a form without a class there."""
    if config.form == "unicom":
        raise ValueError(
            "Transformers has no class for the unicom form; write it in our own format instead"
        )
    model_type = next(name for name, form in _FORMS.items() if form == config.form)
    values: dict[str, Any] = {
        "architectures": ["CLIPVisionModel" if config.form == "clip" else "MLCDVisionModel"],
        "attention_dropout": 0.0,
        "hidden_act": config.activation,
        "hidden_size": config.width,
        "image_size": config.image_size,
        "initializer_factor": 1.0,
        "initializer_range": 0.02,
        "intermediate_size": config.mlp_width,
        "layer_norm_eps": config.norm_eps,
        "model_type": model_type,
        "num_attention_heads": config.num_heads,
        "num_channels": 3,
        "num_hidden_layers": config.depth,
        "patch_size": config.patch_size,
        "projection_dim": config.width,
    }
    if config.form == "rope2d":
        rope = {"rope_theta": config.rope_theta, "rope_type": "axial"}
        values |= {"num_key_value_groups": 1, "rope_parameters": rope}
    return values


def export_huggingface(
    tower: VisionTower,
    folder: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    overwrite: bool = False,
) -> None:
    """Write a folder that `CLIPVisionModel` or `MLCDVisionModel` reads, with the published key
    names.

    ValueError for the unicom form. All or nothing, as `save_tower`.
    """
    values = write_config(tower.config) | {"torch_dtype": str(dtype).removeprefix("torch.")}
    published = HUGGINGFACE.publish(cast_weights(tower.state_dict(), dtype))
    with atomic_folder(folder, overwrite=overwrite) as part:
        write_weights(part, {PREFIX + key: value for key, value in published.items()})
        write_text(part / "config.json", json.dumps(values, indent=2) + "\n")
        preprocessor = json.dumps(tower.config.preprocess.to_dict(), indent=2)
        write_text(part / PREPROCESSOR, preprocessor + "\n")
