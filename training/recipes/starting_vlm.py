"""The model that a run on conversations begins with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mlcd.core.checkpoint import cast_weight, compare_keys, iterate_weights, read_json, read_shapes
from mlcd.core.language.config import VlmConfig
from mlcd.core.language.formats.qwen2_values import read_language
from mlcd.core.language.formats.recognise import recognise
from mlcd.core.language.formats.tokenizers import check_tokenizer
from mlcd.core.language.loading import assemble, load_vlm
from mlcd.core.language.projector import mlp2x_gelu
from mlcd.core.language.stored import build_empty, stored_weights
from mlcd.core.language.tokens import load_tokenizer
from mlcd.core.language.vlm import VisionLanguageModel
from mlcd.core.models import find_model
from mlcd.core.towers import TowerConfig, load_tower
from mlcd.core.towers.convert import recognise as recognise_tower
from mlcd.training.recipes.language_recipe import LanguageRecipe

_LANGUAGE = "language."


def joined_vlm(
    recipe: LanguageRecipe,
    tower: str | Path,
    language: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
) -> VisionLanguageModel:
    """A trained tower and a trained Qwen2 with its tokenizer, and a fresh projector between them.

    `language` is a folder as Transformers writes it, or a hub id. ValueError, naming the keys, when
    it is another kind of model or its weights are not those of its config.json.
    """
    seeing = load_tower(tower, dtype=dtype)
    folder = find_model(language)
    values = read_json(folder / "config.json")
    if values.get("model_type") != "qwen2":
        raise ValueError(
            f"{folder}: expected a Qwen2 language model, its config.json says "
            f"{values.get('model_type')!r}"
        )
    config = recipe.config_for(seeing.config, read_language(values, folder / "config.json"))
    expected = {
        key.removeprefix(_LANGUAGE): tuple(value.shape)
        for key, value in stored_weights(build_empty(config)).items()
        if key.startswith(_LANGUAGE)
    }
    found = {k: v for k, v in read_shapes(folder).items() if k in expected or k != "lm_head.weight"}
    report = compare_keys(expected, found)
    if not report.is_clean:
        raise ValueError(f"{folder}: {report.summary()}")
    speaking = (
        (_LANGUAGE + key, value) for key, value in iterate_weights(folder) if key in expected
    )
    state = {f"tower.{key}": value for key, value in seeing.state_dict().items()}
    vlm = assemble(config, [*state.items(), *_fresh(config, set(), dtype), *speaking], dtype=dtype)
    vlm.tokenizer = load_tokenizer(folder)
    check_tokenizer(vlm.tokenizer, config, folder)
    vlm.name = f"{tower} with {language}"
    return vlm


def relaid_vlm(
    recipe: LanguageRecipe, start: str | Path, *, dtype: torch.dtype = torch.float32
) -> VisionLanguageModel:
    """A trained model with pictures laid out as the recipe says; a newline is drawn if it had none.

    `start` is anything that `load_vlm` reads, among it the projector of a first stage, whose
    config.json names its tower and language model.
    """
    vlm = load_vlm(start, dtype=dtype)
    config = recipe.config_for(vlm.config.tower, vlm.config.language)
    state = stored_weights(vlm)
    if not config.has_newline:
        state.pop("newline", None)
    made = assemble(config, [*state.items(), *_fresh(config, set(state), dtype)], dtype=dtype)
    made.tokenizer, made.name = vlm.tokenizer, str(start)
    if made.tokenizer is None:
        raise ValueError(f"{start}: a model without a tokenizer cannot be trained on text")
    check_tokenizer(made.tokenizer, config, Path(str(start)))
    return made


def _fresh(config: VlmConfig, there: set[str], dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """Random weights of the projector and the newline, where they are not `there`."""
    if not any(key.startswith("projector.") for key in there):
        drawn = mlp2x_gelu(config.tower.width, config.width).state_dict()
        yield from ((f"projector.{key}", cast_weight(value, dtype)) for key, value in drawn.items())
    if config.has_newline and "newline" not in there:
        yield "newline", torch.randn(config.width, dtype=dtype) * config.width**-0.5


def planned_parts(
    published: VlmConfig,
    *,
    start: str | Path | None,
    tower: str | Path | None,
    language: str | Path | None,
) -> tuple[TowerConfig, Mapping[str, Any]]:
    """What a run would be made of, without reading weights: the parts of `published` unless named
    here.
    """
    seeing, speaking = published.tower, published.language
    if start is not None:
        config = recognise(find_model(start)).config
        seeing, speaking = config.tower, config.language
    if tower is not None:
        seeing = recognise_tower(find_model(tower)).config
    if language is not None:
        file = find_model(language) / "config.json"
        speaking = read_language(read_json(file), file)
    return seeing, speaking
