"""The authors' own weight files: what a bare state dict is, told by its keys and shapes alone."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from mlcd.core.checkpoint import Shape
from mlcd.core.images import Preprocess
from mlcd.core.towers.config import TowerConfig
from mlcd.core.towers.naming import NATIVE_CLIP, NATIVE_ROPE2D, NATIVE_UNICOM, Naming

DEFAULT_ROPE2D_SIZE = 336
"""Image size of a bare bigG file, which does not say it: Transformers' default for the class."""

_HEAD_DIM = 64
"""Channels of a head where the shapes do not tell: so in every released UNICOM and CLIP-form file.
"""

_WRAPPERS = ("_orig_mod.", "module.")  # torch.compile and DistributedDataParallel


def wrapper_prefix(keys: Mapping[str, Shape]) -> str:
    """What wrappers put before every key: "", "_orig_mod.", "module." or both."""
    prefix = ""
    while wrapped := [w for w in _WRAPPERS if all(key.startswith(prefix + w) for key in keys)]:
        prefix += wrapped[0]
        if not keys:
            return ""
    return prefix


def infer(shapes: Mapping[str, Shape], *, image_size: int | None) -> tuple[TowerConfig, Naming]:
    """The architecture and naming of an upstream state dict (keys without wrapper prefix).

    `image_size` is for the rope2d form, whose weights fit every size: a position table that was
    left in the file tells it, else 336. ValueError when the keys are none of the known formats.
    """
    if "feature.0.weight" in shapes and "blocks.0.attn.qkv.weight" in shapes:
        return _infer_unicom(shapes), NATIVE_UNICOM
    if "transformer.resblocks.0.attn.in_proj_weight" in shapes:
        return _infer_clip(shapes), NATIVE_CLIP
    if "transformer.resblocks.0.attn.in_proj.weight" in shapes:
        return _infer_rope2d(shapes, image_size), NATIVE_ROPE2D
    first = ", ".join(list(shapes)[:3]) or "none"
    raise ValueError(
        f"keys of no known tower format (first {first}); expected "
        "UNICOM's (blocks.0.attn.qkv.weight), "
        "MLCD's (transformer.resblocks.0.attn.in_proj_weight or .in_proj.weight), "
        "or a folder with config.json"
    )


def _infer_unicom(shapes: Mapping[str, Shape]) -> TowerConfig:
    width, _, patch, _ = _shape(shapes, "patch_embed.proj.weight", 4)
    _, num_tokens, _ = _shape(shapes, "pos_embed", 3)
    size = _side(num_tokens, "pos_embed") * patch
    return TowerConfig(
        form="unicom",
        image_size=size,
        patch_size=patch,
        width=width,
        depth=_depth(shapes, "blocks"),
        num_heads=_heads(width),
        mlp_width=_shape(shapes, "blocks.0.mlp.fc1.weight", 2)[0],
        activation="relu6",
        embed_dim=_shape(shapes, "feature.2.weight", 2)[0],
        preprocess=Preprocess(size=size),
    )


def _infer_clip(shapes: Mapping[str, Shape]) -> TowerConfig:
    width, _, patch, _ = _shape(shapes, "conv1.weight", 4)
    num_positions, _ = _shape(shapes, "positional_embedding", 2)
    size = _side(num_positions - 1, "positional_embedding") * patch
    return TowerConfig(
        form="clip",
        image_size=size,
        patch_size=patch,
        width=width,
        depth=_depth(shapes, "transformer.resblocks"),
        num_heads=_heads(width),
        mlp_width=_shape(shapes, "transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
        activation="quick_gelu",
        preprocess=Preprocess(size=size),
    )


def _infer_rope2d(shapes: Mapping[str, Shape], image_size: int | None) -> TowerConfig:
    width, _, patch, _ = _shape(shapes, "conv1.weight", 4)
    head_dim = 2 * _shape(shapes, "class_pos_emb", 2)[1]
    if not head_dim or width % head_dim:
        raise ValueError(
            f"misshapen key: class_pos_emb is for heads of {head_dim} channels, into which the "
            f"width of {width} cannot be cut"
        )
    size = image_size or DEFAULT_ROPE2D_SIZE
    if image_size is None and "positional_embedding" in shapes:
        num_positions, _ = _shape(shapes, "positional_embedding", 2)
        size = _side(num_positions - 1, "positional_embedding") * patch
    return TowerConfig(
        form="rope2d",
        image_size=size,
        patch_size=patch,
        width=width,
        depth=_depth(shapes, "transformer.resblocks"),
        num_heads=width // head_dim,
        mlp_width=_shape(shapes, "transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
        activation="gelu",
        preprocess=Preprocess(size=size),
    )


def _shape(shapes: Mapping[str, Shape], key: str, rank: int) -> Shape:
    if key not in shapes:
        raise ValueError(f"missing key: {key}, without which the architecture cannot be told")
    if len(shapes[key]) != rank:
        raise ValueError(f"misshapen key: {key} has shape {shapes[key]}, expected {rank} axes")
    return shapes[key]


def _depth(shapes: Mapping[str, Shape], blocks: str) -> int:
    pattern = re.compile(re.escape(blocks) + r"\.(\d+)\.")
    last = max(int(match[1]) for key in shapes if (match := pattern.match(key)))
    if last >= len(shapes):  # so that a damaged key cannot ask for a tower of a million blocks
        raise ValueError(f"misshapen keys: block {last} among only {len(shapes)} keys")
    return last + 1


def _heads(width: int) -> int:
    if width % _HEAD_DIM:
        raise ValueError(
            f"width {width} is no multiple of {_HEAD_DIM}, so the number of heads cannot be told; "
            "write a config.json and read it as a folder"
        )
    return width // _HEAD_DIM


def _side(num_patches: int, key: str) -> int:
    side = math.isqrt(max(num_patches, 0))
    if side < 1 or side * side != num_patches:
        raise ValueError(
            f"misshapen key: {key} has {num_patches} patch positions, not a square grid"
        )
    return side
