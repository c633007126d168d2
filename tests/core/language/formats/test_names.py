"""Every layout's names lead there and back, and are those of the published checkpoints."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from tests.core.language.toy_models import random_vlm

from mlcd.core.language.formats.names import (
    LLAVA_NEXT,
    TRANSFORMERS,
    TRANSFORMERS_5,
    VlmNames,
    fit_names,
)
from mlcd.core.language.presets import mlcd_embodied_7b
from mlcd.core.language.stored import build_empty
from mlcd.core.towers.config import Form

LAYOUTS = {"llava-next": LLAVA_NEXT, "published": TRANSFORMERS, "version 5": TRANSFORMERS_5}


def with_bias(*names: str) -> list[str]:
    return [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]


def embodied_keys() -> set[str]:
    """What a `LlavaQwenForCausalLM` of these sizes saves."""
    keys = ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"]
    keys += ["model.image_newline", *with_bias("model.mm_projector.0", "model.mm_projector.2")]
    for n in range(28):
        layer = f"model.layers.{n}"
        keys += with_bias(*(f"{layer}.self_attn.{name}_proj" for name in "qkv"))
        keys += [f"{layer}.self_attn.o_proj.weight"]
        keys += [f"{layer}.mlp.{name}_proj.weight" for name in ("gate", "up", "down")]
        keys += [f"{layer}.{name}_layernorm.weight" for name in ("input", "post_attention")]
    tower = "model.vision_tower.vision_tower.vision_model"
    keys += [f"{tower}.embeddings.class_embedding", f"{tower}.embeddings.patch_embedding.weight"]
    keys += [f"{tower}.embeddings.position_embedding.weight"]
    keys += with_bias(f"{tower}.pre_layrnorm", f"{tower}.post_layernorm")
    for n in range(24):
        layer = f"{tower}.encoder.layers.{n}"
        keys += with_bias(*(f"{layer}.self_attn.{name}_proj" for name in ("q", "k", "v", "out")))
        keys += with_bias(f"{layer}.layer_norm1", f"{layer}.layer_norm2")
        keys += with_bias(f"{layer}.mlp.fc1", f"{layer}.mlp.fc2")
    return set(keys)


def test_the_keys_and_parameters_of_mlcd_embodied_7b() -> None:
    state = LLAVA_NEXT.publish(build_empty(mlcd_embodied_7b()).state_dict())
    assert set(state) == embodied_keys()
    language, tower, projector, newline = 7_615_616_512, 303_507_456, 16_522_240, 3_584
    total = sum(value.numel() for value in state.values())
    assert total == language + tower + projector + newline


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("form", ["clip", "rope2d"])
def test_a_state_dict_comes_back_from_any_order(layout: str, form: Form) -> None:
    names, state = LAYOUTS[layout], random_vlm(form).state_dict()
    published = list(names.publish(state).items())
    random.Random(0).shuffle(published)
    published.insert(3, ("model.something.else", torch.zeros(1)))
    back = dict(names.adopt(state, published))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)
    assert all(set(names.theirs(key)) <= dict(published).keys() for key in state)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("form", ["clip", "rope2d"])
@pytest.mark.parametrize("prefix", ["vision_model.", ""])
def test_the_layout_is_found_with_and_without_vision_model(
    layout: str, form: Form, prefix: str
) -> None:
    names = LAYOUTS[layout]
    meant = replace(names, tower=names.tower.removesuffix("vision_model.") + prefix)
    keys = meant.publish(random_vlm(form).state_dict())
    others = [TRANSFORMERS, TRANSFORMERS_5] if layout != "llava-next" else [LLAVA_NEXT]
    assert fit_names(others, keys) == meant


def test_of_keys_that_fit_nothing_the_first_layout_is_taken() -> None:
    found: VlmNames = fit_names([TRANSFORMERS, TRANSFORMERS_5], ["a", "b.c"])
    assert found == TRANSFORMERS


def test_a_name_that_is_not_ours_is_refused() -> None:
    with pytest.raises(ValueError, match=r"head\.bias: no parameter"):
        LLAVA_NEXT.theirs("head.bias")
