"""The published names, written out: which key holds what, in every format."""

from __future__ import annotations

import pytest
import torch
from tests.core.towers.toy_towers import random_tower
from torch import Tensor

from mlcd.core.towers.config import Form
from mlcd.core.towers.naming import (
    HUGGINGFACE,
    NATIVE_CLIP,
    NATIVE_ROPE2D,
    NATIVE_UNICOM,
    Naming,
)

Shapes = dict[str, tuple[int, ...]]
D, M, E, N, P = 128, 192, 24, 16, 8


def layer(name: str, out: int, into: int) -> Shapes:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def norm(name: str) -> Shapes:
    return {f"{name}.weight": (D,), f"{name}.bias": (D,)}


def batch_norm(name: str, length: int) -> Shapes:
    leaves = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{leaf}": (length,) for leaf in leaves} | {f"{name}.num_batches_tracked": ()}


def openai_block(i: int) -> Shapes:
    block = f"transformer.resblocks.{i}"
    return (
        norm(f"{block}.ln_1")
        | norm(f"{block}.ln_2")
        | layer(f"{block}.attn.out_proj", D, D)
        | layer(f"{block}.mlp.c_fc", M, D)
        | layer(f"{block}.mlp.c_proj", D, M)
    )


def huggingface_block(i: int) -> Shapes:
    block = f"encoder.layers.{i}"
    shapes = norm(f"{block}.layer_norm1") | norm(f"{block}.layer_norm2")
    for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
        shapes |= layer(f"{block}.self_attn.{name}", D, D)
    return shapes | layer(f"{block}.mlp.fc1", M, D) | layer(f"{block}.mlp.fc2", D, M)


def unicom_block(i: int) -> Shapes:
    block = f"blocks.{i}"
    return (
        norm(f"{block}.norm1")
        | norm(f"{block}.norm2")
        | {f"{block}.attn.qkv.weight": (3 * D, D)}
        | layer(f"{block}.attn.proj", D, D)
        | layer(f"{block}.mlp.fc1", M, D)
        | layer(f"{block}.mlp.fc2", D, M)
    )


def native_clip() -> Shapes:
    shapes = {"conv1.weight": (D, 3, P, P), "class_embedding": (D,)}
    shapes |= {"positional_embedding": (N + 1, D)} | norm("ln_pre") | norm("ln_post")
    for i in range(3):
        attention = f"transformer.resblocks.{i}.attn"
        shapes |= openai_block(i)
        shapes |= {f"{attention}.in_proj_weight": (3 * D, D), f"{attention}.in_proj_bias": (3 * D,)}
    return shapes


def native_rope2d() -> Shapes:
    shapes = {"conv1.weight": (D, 3, P, P), "class_embedding": (D,), "class_pos_emb": (1, 32)}
    shapes |= norm("ln_pre") | norm("ln_post")
    for i in range(3):
        shapes |= openai_block(i) | layer(f"transformer.resblocks.{i}.attn.in_proj", 3 * D, D)
    return shapes


def native_unicom() -> Shapes:
    shapes = {"patch_embed.proj.weight": (D, 3, P, P), "patch_embed.proj.bias": (D,)}
    shapes |= {"pos_embed": (1, N, D)} | norm("norm")
    shapes |= {"feature.0.weight": (D, N * D), "feature.2.weight": (E, D)}
    shapes |= batch_norm("feature.1", D) | batch_norm("feature.3", E)
    for i in range(3):
        shapes |= unicom_block(i)
    return shapes


def huggingface(form: Form) -> Shapes:
    shapes = {
        "embeddings.patch_embedding.weight": (D, 3, P, P),
        "embeddings.class_embedding": (D,),
        **norm("pre_layrnorm"),  # with this spelling
        **norm("post_layernorm"),
    }
    if form == "clip":
        shapes["embeddings.position_embedding.weight"] = (N + 1, D)
    else:
        shapes["class_pos_emb"] = (1, 32)
    for i in range(3):
        shapes |= huggingface_block(i)
    return shapes


FORMATS: list[tuple[Naming, Form, Shapes]] = [
    (NATIVE_CLIP, "clip", native_clip()),
    (NATIVE_ROPE2D, "rope2d", native_rope2d()),
    (NATIVE_UNICOM, "unicom", native_unicom()),
    (HUGGINGFACE, "clip", huggingface("clip")),
    (HUGGINGFACE, "rope2d", huggingface("rope2d")),
]
IDS = ["native clip", "native rope2d", "native unicom", "hugging face clip", "hugging face rope2d"]


@pytest.mark.parametrize(("naming", "form", "shapes"), FORMATS, ids=IDS)
def test_keys_and_shapes_are_the_published_ones(naming: Naming, form: Form, shapes: Shapes) -> None:
    published = naming.publish(random_tower(form).state_dict())
    assert {key: tuple(value.shape) for key, value in published.items()} == shapes


@pytest.mark.parametrize(("naming", "form", "shapes"), FORMATS, ids=IDS)
def test_what_is_published_is_adopted_again_in_any_order(
    naming: Naming, form: Form, shapes: Shapes
) -> None:
    state = random_tower(form).state_dict()
    there = list(naming.publish(state).items())
    there.append(("something.else", torch.zeros(3)))
    for order in (there, there[::-1]):
        back = dict(naming.adopt(state, iter(order)))
        assert set(back) == set(state)
        assert all(torch.equal(back[key], state[key]) for key in state)


def test_queries_keys_and_values_are_cut_and_joined_in_this_order() -> None:
    qkv = torch.arange(6.0).view(6, 1)
    published: dict[str, Tensor] = HUGGINGFACE.publish({"blocks.1.attention.qkv.weight": qkv})
    assert {key: value.flatten().tolist() for key, value in published.items()} == {
        "encoder.layers.1.self_attn.q_proj.weight": [0, 1],
        "encoder.layers.1.self_attn.k_proj.weight": [2, 3],
        "encoder.layers.1.self_attn.v_proj.weight": [4, 5],
    }


def test_a_weight_of_which_a_part_is_missing_is_not_given() -> None:
    keys = ["blocks.0.attention.qkv.bias"]
    parts = [(f"encoder.layers.0.self_attn.{n}_proj.bias", torch.zeros(2)) for n in "qk"]
    assert list(HUGGINGFACE.adopt(keys, parts)) == []
