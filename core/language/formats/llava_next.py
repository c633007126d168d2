"""LLaVA-NeXT's own layout, read: `LlavaQwenForCausalLM` folders with the tower's weights inside or
not, and folders of a projector alone (`mm_projector.bin`). Writing is in `llava_next_writing.py`.

Sources: `llava/model/llava_arch.py` and the configs that its training writes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

from mlcd.core.checkpoint import read_shapes
from mlcd.core.language.config import ImageLayout, Template, VlmConfig
from mlcd.core.language.formats.chat_template import STATED, stated_template
from mlcd.core.language.formats.names import (
    BODY,
    HEAD,
    LLAVA_NEXT,
    NEWLINE,
    PROJECTOR,
    VlmNames,
    fit_names,
)
from mlcd.core.language.formats.outside_parts import (
    find_folder,
    find_tower,
    tower_from_shapes,
    tower_nearby,
)
from mlcd.core.language.formats.qwen2_values import read_language
from mlcd.core.language.formats.settings import Only, read_layer, read_max_tiles, refuse_others
from mlcd.core.language.formats.source import EVERYTHING, Part, VlmSource
from mlcd.core.language.pinpoints import parse_pinpoints
from mlcd.core.towers.config import TowerConfig
from mlcd.core.towers.convert import Source as TowerSource

MODEL_TYPE = "llava_qwen"
PROJECTOR_FILE = "mm_projector.bin"

_TOWER_KEYS = "model.vision_tower."
_ONLY = (
    Only("use_mm_proj", True, True),
    Only("mm_projector_type", "mlp2x_gelu", "linear"),
    Only("mm_resampler_type", None, None),
    Only("mm_vision_select_feature", "patch", "patch"),
    Only("mm_use_im_start_end", False, False, "no words stand around a picture"),
    Only("mm_newline_position", "grid", "grid", "of the frames of a video"),
    Only("add_faster_video", False, False),
    Only("use_pos_skipping", False, False),
    Only("s2", False, False),
)


def read(folder: Path, values: Mapping[str, Any]) -> VlmSource:
    """The model in a folder of LLaVA-NeXT's, whose `config.json` holds `values`.

    ValueError when the configuration asks for what is not read here, or when the folder that it
    names for a missing part is not found.
    """
    path = folder / "config.json"
    refuse_others(values, _ONLY, path)
    if (folder / PROJECTOR_FILE).is_file() and not _has_weights(folder):
        return _read_projector(folder, values)
    shapes = read_shapes(folder)
    names = fit_names([LLAVA_NEXT], shapes)
    if any(key.startswith(_TOWER_KEYS) for key in shapes):
        config, notes = _inner_tower(folder, values, names, shapes)
        return VlmSource(
            path=folder,
            description="LLaVA-NeXT folder of LlavaQwenForCausalLM",
            config=read_config(values, path, config),
            parts=(Part(path=folder, names=names, holds=EVERYTHING, shapes=shapes),),
            tokenizer_folder=folder,
            notes=notes,
        )
    tower = find_tower(values.get("mm_vision_tower"), folder)
    holds = (PROJECTOR, NEWLINE, BODY, HEAD)
    return VlmSource(
        path=folder,
        description="LLaVA-NeXT folder of LlavaQwenForCausalLM, without its tower, which is a "
        + tower.description,
        config=read_config(values, path, tower.config),
        parts=(Part(path=folder, names=names, holds=holds, shapes=shapes),),
        tower=tower,
        tokenizer_folder=folder,
    )


def read_config(values: Mapping[str, Any], path: Path, tower: TowerConfig) -> VlmConfig:
    """The config that LLaVA-NeXT's settings describe around a tower."""
    stated = values.get("image_aspect_ratio") or "square"
    max_tiles = read_max_tiles(stated)
    layout = "anyres" if max_tiles is not None else stated
    pinpoints = values.get("image_grid_pinpoints") if layout == "anyres" else ()
    # the published class sets rope_scaling to none, whatever its config.json says
    language = read_language({**values, "rope_scaling": None}, path)
    length = values.get("tokenizer_model_max_length") or language["max_position_embeddings"]
    try:
        return VlmConfig(
            tower=tower,
            language=language,
            hidden_layer=read_layer(values, "mm_vision_select_layer", -2, path),
            image_layout=_image_layout(layout),
            pinpoints=parse_pinpoints(pinpoints, tower.image_size),
            max_tiles=max_tiles,
            merge=values.get("mm_patch_merge_type", "flat"),
            unpad_rule="truncate",
            several_images="padded",
            template=_template(values, path),
            max_length=length,
        )
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error


def _image_layout(layout: Any) -> ImageLayout:
    if layout not in ("square", "pad", "anyres"):
        raise ValueError(
            f"image_aspect_ratio {layout!r} is not supported, expected square, pad, anyres or "
            "anyres_max_N"
        )
    known: ImageLayout = layout
    return known


def _template(values: Mapping[str, Any], path: Path) -> Template:
    """Published configs do not state it: a projector is trained alone with `plain`, everything of
    this class after that with `qwen_1_5`.
    """
    if STATED in values:
        return stated_template(values, path)
    trains_projector_alone = values.get("mm_tunable_parts") == "mm_mlp_adapter" or (
        values.get("mm_tunable_parts") is None and values.get("tune_mm_mlp_adapter") is True
    )
    return "plain" if trains_projector_alone else "qwen_1_5"


def _inner_tower(
    folder: Path, values: Mapping[str, Any], names: VlmNames, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[TowerConfig, tuple[str, ...]]:
    """The architecture of a tower whose weights are in the checkpoint, which does not state it."""
    path = folder / "config.json"
    name = values.get("mm_vision_tower")
    try:
        if nearby := tower_nearby(name, folder):
            return nearby, ()
        bare = {
            key.removeprefix(names.tower): shape
            for key, shape in shapes.items()
            if key.startswith(names.tower)
        }
        told = tower_from_shapes(bare, _tile_size(values))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    note = (
        f"the folder of its tower ({name!r}) is not on this disk: the architecture is told by its "
        f"weights, as CLIP and MLCD were published ({told.num_heads} heads, {told.activation}, "
        "pictures prepared as CLIP does)"
    )
    return told, (note,)


def _tile_size(values: Mapping[str, Any]) -> int | None:
    """The one size that all pinpoints are whole tiles of; None where there are no pinpoints."""
    pinpoints = values.get("image_grid_pinpoints")
    try:
        sides = [side for pinpoint in parse_pinpoints(pinpoints, 1) for side in pinpoint]
    except ValueError:
        return None
    if not all(isinstance(side, int) for side in sides):
        return None
    size = reduce(math.gcd, sides, 0)
    return size if size > 1 else None


def _has_weights(folder: Path) -> bool:
    return any(
        (folder / f"{stem}{suffix}").is_file()
        for stem in ("model.safetensors", "pytorch_model.bin")
        for suffix in ("", ".index.json")
    )


def _read_projector(folder: Path, values: Mapping[str, Any]) -> VlmSource:
    """A projector trained alone, with the language model and the tower that it was trained for."""
    path = folder / "config.json"
    tower: TowerSource = find_tower(values.get("mm_vision_tower"), folder)
    language = find_folder(
        values.get("_name_or_path"), folder, "_name_or_path", "the language model"
    )
    file = folder / PROJECTOR_FILE
    has_tokenizer = (folder / "tokenizer_config.json").is_file()
    return VlmSource(
        path=folder,
        description="projector of LLaVA-NeXT's first stage, with its language model in "
        f"{language} and a {tower.description}",
        config=read_config(values, path, tower.config),
        parts=(
            Part.read(file, LLAVA_NEXT, (PROJECTOR, NEWLINE)),
            Part.read(language, LLAVA_NEXT, (BODY, HEAD)),
        ),
        tower=tower,
        tokenizer_folder=folder if has_tokenizer else language,
    )
