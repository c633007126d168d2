"""The likely cause of what is wrong with a tower's keys, in words, with what to do about it.

Only `doctor.py` asks. What is read here are names and shapes; that a file cannot be read at all is
`file_causes.py`'s.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from mlcd.core.checkpoint import KeyReport, Shape
from mlcd.core.towers.config import TowerConfig
from mlcd.core.towers.convert import Source

_QUANTISED = (".qweight", ".qzeros", ".SCB", ".absmax", ".weight_scale", "_packed_params")
_PATCH_WEIGHTS = (  # the name of the patch convolution in every format that is read
    "embeddings.patch_embedding.weight",
    "embedding.patch.weight",
    "patch_embed.proj.weight",
    "conv1.weight",
)
_PROJECTION = "visual_projection.weight"
_CLASS_ANGLES = ("class_pos_emb", "rotary.class_angles")
_POSITIONS = (
    "embeddings.position_embedding.weight",
    "embedding.positions",
    "positional_embedding",
    "pos_embed",
)


def causes_of_keys(found: Iterable[str]) -> list[str]:
    """What a file with these keys is, when it is no tower that is read here."""
    keys = list(found)
    if whole := _cause_of_whole_model(keys):
        return [whole]
    if "embedding.patch.weight" in keys:
        return ["this is the weight file of a model folder of ours: give the folder"]
    if any(key.endswith("embeddings.patch_embedding.weight") for key in keys):
        return [
            "these are the names of a Hugging Face tower: give the folder that holds it with its "
            "config.json"
        ]
    if "patch_embed.proj.weight" in keys:
        return ["a ViT in timm's or DINO's names, which is none of the forms that are read here"]
    return [
        f"every key of the tower begins with {prefix!r}: save it without, "
        f"{{key.removeprefix({prefix!r}): value for key, value in state.items()}}"
        for prefix in [_prefix_of_patches(keys)]
        if prefix
    ]


def causes_of_report(source: Source, report: KeyReport) -> list[str]:
    """Why a file's keys are not those of its architecture, most telling first; empty when they are
    or when no cause is known.
    """
    if report.is_clean:
        return []
    if whole := _cause_of_whole_model(list(source.shapes)):
        return [whole]
    found = (
        _prefix(source, report)
        or _wrong_class(source)
        or _other_depth(source, report)
        or _other_width(report)
    )
    return [cause for cause in (found, *_small_causes(source, report)) if cause]


def _cause_of_whole_model(keys: list[str]) -> str | None:
    if any("lora_" in key for key in keys):
        return (
            "a LoRA, which holds only the change to a model: merge it into its base "
            "(PEFT's merge_and_unload) and save that"
        )
    if quantised := next((key for key in keys if key.endswith(_QUANTISED)), None):
        return f"quantised weights ({quantised}): take the float weights they were made from"
    if any(key.startswith("visual.") for key in keys):
        return (
            "a full CLIP model in OpenAI's or open_clip's names, text side included; save the keys "
            "that begin with 'visual.', without that prefix"
        )
    if any("vision_tower." in key or "mm_projector" in key for key in keys):
        return (
            "a vision-language model with a tower inside; save the tower alone "
            "(model.vision_tower.save_pretrained(...)) and read that"
        )
    if any(key.startswith("text_model.") for key in keys):
        return (
            "a full CLIP model, text side included; save the tower alone "
            "(CLIPVisionModel.from_pretrained(...).save_pretrained(...)) and read that"
        )
    return None


def _prefix_of_patches(keys: list[str]) -> str:
    for key in keys:
        for name in _PATCH_WEIGHTS:
            if key.endswith("." + name):
                return key.removesuffix(name)
    return ""


def _prefix(source: Source, report: KeyReport) -> str | None:
    """One prefix that explains most of the missing keys."""
    unexpected = set(report.unexpected)
    for missing in report.missing[:1]:
        bare = missing.removeprefix(source.prefix)
        for key in report.unexpected:
            prefix = key.removesuffix(bare)
            explained = sum(
                prefix + name.removeprefix(source.prefix) in unexpected for name in report.missing
            )
            if key.endswith("." + bare) and 2 * explained > len(report.missing):
                return (
                    f"the keys in the file begin with {prefix!r} instead of {source.prefix!r}: "
                    "save them with that prefix taken off"
                )
    return None


def _wrong_class(source: Source) -> str | None:
    bare = {key.removeprefix(source.prefix) for key in source.shapes}
    has_angles = not bare.isdisjoint(_CLASS_ANGLES)
    has_positions = not bare.isdisjoint(_POSITIONS)
    if source.config.form == "clip" and has_angles and not has_positions:
        return (
            "wrong class: the weights have class angles and no position table, so they are an "
            "MLCDVisionModel (rope2d form), but config.json says CLIPVisionModel (clip form)"
        )
    if source.config.form == "rope2d" and has_positions and not has_angles:
        return (
            "wrong class: the weights have a position table and no class angles, so they are a "
            "CLIPVisionModel (clip form), but config.json says MLCDVisionModel (rope2d form)"
        )
    return None


def _other_depth(source: Source, report: KeyReport) -> str | None:
    depth = source.config.depth
    there = _block_numbers(source.shapes)
    absent = set(range(depth)) - there
    if there == set(range(depth)):
        return None
    if there and not absent:
        return (
            f"the file has {max(there) + 1} blocks, config.json says {depth}: "
            "a config.json of another size"
        )
    if there and absent == set(range(min(absent), depth)):
        return (
            f"the file has {len(there)} blocks of {depth}: one shard of several, a model whose "
            "last blocks were taken off, or a config.json of another size"
        )
    if absent and (there or report.missing):
        return f"{len(absent)} of {depth} blocks are not in the file: is a shard missing?"
    return None


def _block_numbers(keys: Iterable[str]) -> set[int]:
    pattern = re.compile(r"(?:^|\.)(?:layers|resblocks|blocks)\.(\d+)\.")
    return {int(match[1]) for key in keys if (match := pattern.search(key))}


def _other_width(report: KeyReport) -> str | None:
    for key, expected, found in report.misshapen:
        if key.endswith(_PATCH_WEIGHTS) and len(found) == 4 and found != expected:
            if found[0] != expected[0]:
                return (
                    f"the weights are of width {found[0]}, the architecture of {expected[0]}: "
                    "weights and config.json of two sizes"
                )
            return (
                f"the patches of the weights are {found[2]}x{found[3]} pixels of {found[1]} "
                f"channels, those of the architecture {expected[2]}x{expected[3]} of {expected[1]}"
            )
    return None


def _small_causes(source: Source, report: KeyReport) -> Iterable[str | None]:
    yield _resolution(source.config, report)
    unexpected = {key.removeprefix(source.prefix) for key in report.unexpected}
    if any(key.endswith(_PROJECTION) for key in unexpected):
        yield (
            "wrong class: a CLIPVisionModelWithProjection, whose projection to the text space is "
            "no part of a tower; save it as CLIPVisionModel"
        )
    if "pre_layernorm.weight" in unexpected:
        yield (
            "pre_layernorm is published as pre_layrnorm (with that spelling): an older converter "
            "wrote this file; rename the key"
        )
    if any(key.startswith(("head.", "fc.", "classifier.")) for key in unexpected):
        yield "a classifier's last layer came along: leave it out when saving"


def _resolution(config: TowerConfig, report: KeyReport) -> str | None:
    """A position table, or a head over all tokens, of another image size."""
    for key, expected, found in report.misshapen:
        if not key.endswith(_POSITIONS):
            continue
        num_patches = _axis(expected, found) - config.num_prefix_tokens
        side = math.isqrt(max(num_patches, 0))
        if side and side * side == num_patches:
            return (
                f"wrong resolution: the position table is for {side}x{side} patches "
                f"({side * config.patch_size} pixels), config.json says image_size "
                f"{config.image_size}"
            )
    for key, expected, found in report.misshapen:
        if key.endswith(("feature.0.weight", "head.reduce.weight")) and found[0] == expected[0]:
            return (
                f"wrong resolution: the head was made for {found[1] // config.width} patches, "
                f"the position table has {config.grid[0] * config.grid[1]}"
            )
    return None


def _axis(expected: Shape, found: Shape) -> int:
    """The length of the one axis in which two shapes differ; 0 when there is no such axis."""
    if len(expected) != len(found):
        return 0
    differing = [new for old, new in zip(expected, found, strict=True) if old != new]
    return differing[0] if len(differing) == 1 else 0


def count_parameters(shapes: Mapping[str, Shape]) -> int:
    """Trained numbers in a file: all but running statistics and position numbers."""
    buffers = ("running_mean", "running_var", "num_batches_tracked", "position_ids")
    return sum(math.prod(shape) for key, shape in shapes.items() if not key.endswith(buffers))
