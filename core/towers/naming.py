"""The names that published formats give to a tower's parameters, and the way there and back.

Ours: `embedding.patch`, `blocks.0.attention.qkv`, ... A `Naming` is a table; what the tensors mean
is the same everywhere, only queries, keys and values may be one tensor or three.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Naming:
    """One format's names; the keys of both tables are ours, of a parameter or of its module."""

    outside: Mapping[str, str]
    blocks: str
    """What comes before a block's number."""
    inside: Mapping[str, tuple[str, ...]]
    """Names within a block; three where queries, keys and values are apart, in this order."""
    with_leading_axis: frozenset[str] = frozenset()
    """Our parameters that this format stores with one more axis, of size 1, in front."""
    tolerated: frozenset[str] = frozenset()
    """Keys of theirs that a file may hold and that mean nothing for the tower."""

    def theirs(self, key: str) -> tuple[str, ...]:
        """The name or names in this format of one of our parameters."""
        if not key.startswith("blocks."):
            return (_rename(key, {ours: (name,) for ours, name in self.outside.items()})[0],)
        _, number, rest = key.split(".", 2)
        return tuple(f"{self.blocks}.{number}.{name}" for name in _rename(rest, self.inside))

    def publish(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our state dict under this format's names."""
        published: dict[str, Tensor] = {}
        for key, value in state.items():
            names = self.theirs(key)
            parts = value.chunk(len(names)) if len(names) > 1 else (value,)
            if key in self.with_leading_axis:
                parts = (value[None],)
            published.update(zip(names, parts, strict=True))
        return published

    def adopt(
        self, keys: Iterable[str], published: Iterable[tuple[str, Tensor]]
    ) -> Iterator[tuple[str, Tensor]]:
        """Our (key, tensor) for each of our `keys`, from tensors that come in any order.

        What is not asked for is left out; whether all are there is the caller's to check.
        """
        places = {
            name: (key, number, len(self.theirs(key)))
            for key in keys
            for number, name in enumerate(self.theirs(key))
        }
        waiting: dict[str, dict[int, Tensor]] = {}
        for name, value in published:
            if name not in places:
                continue
            key, number, count = places[name]
            parts = waiting.setdefault(key, {})
            parts[number] = value
            if len(parts) < count:
                continue
            whole = torch.cat([parts[part] for part in range(count)]) if count > 1 else value
            del waiting[key]
            yield key, whole[0] if key in self.with_leading_axis else whole


def _rename(key: str, table: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    if key in table:
        return table[key]
    module, _, leaf = key.rpartition(".")
    return tuple(f"{name}.{leaf}" for name in table[module])


HUGGINGFACE = Naming(
    outside={
        "embedding.patch": "embeddings.patch_embedding",
        "embedding.class_token": "embeddings.class_embedding",
        "embedding.positions": "embeddings.position_embedding.weight",
        "rotary.class_angles": "class_pos_emb",
        "pre_norm": "pre_layrnorm",  # published with this spelling
        "post_norm": "post_layernorm",
    },
    blocks="encoder.layers",
    inside={
        "norm1": ("layer_norm1",),
        "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "attention.out": ("self_attn.out_proj",),
        "norm2": ("layer_norm2",),
        "mlp.fc1": ("mlp.fc1",),
        "mlp.fc2": ("mlp.fc2",),
    },
    with_leading_axis=frozenset({"rotary.class_angles"}),
    tolerated=frozenset({"embeddings.position_ids"}),
)
"""`CLIPVisionModel` and `MLCDVisionModel` of Transformers, without their prefix `vision_model.`"""

_OPENAI_OUTSIDE = {
    "embedding.patch": "conv1",
    "embedding.class_token": "class_embedding",
    "pre_norm": "ln_pre",
    "post_norm": "ln_post",
}
_OPENAI_INSIDE = {
    "norm1": ("ln_1",),
    "attention.out": ("attn.out_proj",),
    "norm2": ("ln_2",),
    "mlp.fc1": ("mlp.c_fc",),
    "mlp.fc2": ("mlp.c_proj",),
}

NATIVE_CLIP = Naming(
    outside=_OPENAI_OUTSIDE | {"embedding.positions": "positional_embedding"},
    blocks="transformer.resblocks",
    inside=_OPENAI_INSIDE
    | {
        "attention.qkv.weight": ("attn.in_proj_weight",),
        "attention.qkv.bias": ("attn.in_proj_bias",),
    },
    tolerated=frozenset({"proj"}),
)
"""The authors' own B/32 and L/14 files, in OpenAI CLIP's names."""

NATIVE_ROPE2D = Naming(
    outside=_OPENAI_OUTSIDE | {"rotary.class_angles": "class_pos_emb"},
    blocks="transformer.resblocks",
    inside=_OPENAI_INSIDE | {"attention.qkv": ("attn.in_proj",)},
    with_leading_axis=frozenset({"rotary.class_angles"}),
    tolerated=frozenset({"proj", "positional_embedding"}),
)
"""The authors' own bigG files."""

NATIVE_UNICOM = Naming(
    outside={
        "embedding.patch": "patch_embed.proj",
        "embedding.positions": "pos_embed",
        "post_norm": "norm",
        "head.reduce": "feature.0",
        "head.reduce_norm": "feature.1",
        "head.project": "feature.2",
        "head.project_norm": "feature.3",
    },
    blocks="blocks",
    inside={
        "norm1": ("norm1",),
        "attention.qkv": ("attn.qkv",),
        "attention.out": ("attn.proj",),
        "norm2": ("norm2",),
        "mlp.fc1": ("mlp.fc1",),
        "mlp.fc2": ("mlp.fc2",),
    },
    with_leading_axis=frozenset({"embedding.positions"}),
)
"""The released UNICOM files."""
