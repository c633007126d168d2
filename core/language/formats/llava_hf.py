"""Transformers' folders of `LlavaNext` and `LlavaOnevision`, read: Qwen2 with a CLIP or MLCD tower.
Writing is in `llava_hf_writing.py`.

Both classes always cut pictures into tiles and merge them as `spatial_unpad`, and round where
they unpad. LlavaOnevision pads several pictures to one tile each; more than eight of them it does
not pool as the published code does, which is what is done here. Its videos have no counterpart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlcd.core.checkpoint import read_json, read_shapes
from mlcd.core.images import Preprocess
from mlcd.core.language.config import SeveralImages, VlmConfig
from mlcd.core.language.formats.chat_template import read_template
from mlcd.core.language.formats.names import TRANSFORMERS, TRANSFORMERS_5, fit_names
from mlcd.core.language.formats.qwen2_values import read_language
from mlcd.core.language.formats.settings import Only, read_layer, read_max_tiles, refuse_others
from mlcd.core.language.formats.source import EVERYTHING, Part, VlmSource
from mlcd.core.language.pinpoints import Size
from mlcd.core.towers import huggingface

PROCESSOR = "processor_config.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class HfClass:
    """What one of the two classes takes for a setting that a config.json leaves out."""

    name: str
    select_strategy: str
    hidden_layer: int
    pinpoints: tuple[tuple[int, int], ...]
    """(height, width)"""
    several_images: SeveralImages


CLASSES: Mapping[str, HfClass] = {
    "llava_next": HfClass(
        name="LlavaNextForConditionalGeneration",
        select_strategy="default",
        hidden_layer=-2,
        pinpoints=((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008)),
        several_images="tiled",
    ),
    "llava_onevision": HfClass(
        name="LlavaOnevisionForConditionalGeneration",
        select_strategy="full",
        hidden_layer=-1,
        pinpoints=tuple((384 * i, 384 * j) for i in range(1, 7) for j in range(1, 7)),
        several_images="padded",
    ),
}
"""By model_type."""

_TOWERS = ("clip_vision_model", "mlcd_vision_model")
_LARGEST_LENGTH = 10**9  # Transformers writes a larger number for "no limit"


def read(folder: Path, values: Mapping[str, Any]) -> VlmSource:
    """The model in a folder of Transformers', whose `config.json` holds `values`.

    ValueError for other language models and towers, and for settings that are not read here.
    """
    path = folder / "config.json"
    kind = CLASSES[values["model_type"]]
    text, vision = _sub_configs(values, kind, path)
    only = (
        Only("vision_feature_select_strategy", "default", kind.select_strategy,
             "the class token does not go to the language model"),
        Only("projector_hidden_act", "gelu", "gelu"),
        Only("multimodal_projector_bias", True, True),
    )  # fmt: skip
    refuse_others(values, only, path)
    shapes = read_shapes(folder)
    names = fit_names([TRANSFORMERS, TRANSFORMERS_5], shapes)
    has_head = f"{names.head}weight" in shapes
    is_tied = values.get("tie_word_embeddings") is True or (
        text.get("tie_word_embeddings") is True and not has_head
    )
    language = read_language({**text, "tie_word_embeddings": is_tied}, path)
    preprocess, notes = _preprocess(folder, vision)
    tower = huggingface.tower_config(vision, path, preprocess)
    try:
        config = VlmConfig(
            tower=tower,
            language=language,
            hidden_layer=read_layer(values, "vision_feature_layer", kind.hidden_layer, path),
            image_layout="anyres",
            pinpoints=_pinpoints(values.get("image_grid_pinpoints"), kind),
            max_tiles=_max_tiles(values),
            merge="spatial_unpad",
            unpad_rule="round",
            several_images=kind.several_images,
            template=read_template(folder, values),
            max_length=_max_length(folder, values, language),
        )
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error
    return VlmSource(
        path=folder,
        description=f"Transformers folder of {kind.name}",
        config=config,
        parts=(Part(path=folder, names=names, holds=EVERYTHING, shapes=shapes),),
        tokenizer_folder=folder,
        notes=notes,
    )


def _sub_configs(
    values: Mapping[str, Any], kind: HfClass, path: Path
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """text_config and vision_config."""
    text, vision = values.get("text_config"), values.get("vision_config")
    for name, part in (("text_config", text), ("vision_config", vision)):
        if not isinstance(part, Mapping):
            raise ValueError(f"{path}: expected a {name}, got {part!r}")
    assert isinstance(text, Mapping)
    assert isinstance(vision, Mapping)
    if text.get("model_type") != "qwen2":
        raise ValueError(
            f"{path}: a {kind.name} with a {text.get('model_type', 'llama')!r} language model; "
            "only 'qwen2' is read here"
        )
    if vision.get("model_type") not in _TOWERS:
        raise ValueError(
            f"{path}: a {kind.name} with a {vision.get('model_type')!r} tower; "
            f"only {' and '.join(map(repr, _TOWERS))} are read here"
        )
    return text, vision


def _preprocess(
    folder: Path, vision: Mapping[str, Any]
) -> tuple[Preprocess | None, tuple[str, ...]]:
    """How tiles become pixels: the class's image processor cuts tiles of the tower's own size, so
    that only its colours and its filter are settings.
    """
    stated: Any = None
    if (file := folder / huggingface.PREPROCESSOR).is_file():
        stated = read_json(file)
    elif (file := folder / PROCESSOR).is_file():
        stated = read_json(file).get("image_processor")
    if not isinstance(stated, Mapping):
        return None, (f"no {huggingface.PREPROCESSOR}: pictures are prepared as CLIP does",)
    side = vision.get("image_size")
    for name in ("size", "crop_size"):
        for length in _lengths(stated.get(name)):
            if length not in (None, side):
                raise ValueError(
                    f"{file}: {name} {stated[name]!r}: the tower of config.json takes {side} pixels"
                )
    kept = {
        name: stated[name]
        for name in ("do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std",
                     "resample")
        if stated.get(name) is not None
    }  # fmt: skip
    if not isinstance(side, int):
        return None, ()  # which the tower's config refuses
    try:
        return Preprocess.from_dict({**kept, "size": side, "crop_size": side}), ()
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _lengths(size: Any) -> tuple[Any, ...]:
    return tuple(size.values()) if isinstance(size, Mapping) else (size,)


def _pinpoints(stated: Any, kind: HfClass) -> tuple[Size, ...]:
    """(width, height), from Transformers' (height, width)."""
    pairs = kind.pinpoints if stated is None else stated
    if not isinstance(pairs, (list, tuple)) or not all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs
    ):
        raise ValueError(f"image_grid_pinpoints {pairs!r}: expected a list of (height, width)")
    return tuple((width, height) for height, width in pairs)


def _max_tiles(values: Mapping[str, Any]) -> int | None:
    if values["model_type"] != "llava_onevision":
        return None
    stated = values.get("vision_aspect_ratio", "anyres_max_9")
    if (max_tiles := read_max_tiles(stated)) is None:
        raise ValueError(f"vision_aspect_ratio {stated!r} is not supported, expected anyres_max_N")
    return max_tiles


def _max_length(folder: Path, values: Mapping[str, Any], language: Mapping[str, Any]) -> int:
    """Tokens of a sequence: what the tokenizer's settings allow, else the language model."""
    stated = values.get("tokenizer_model_max_length")
    if stated is None and (file := folder / "tokenizer_config.json").is_file():
        stated = read_json(file).get("model_max_length")
    if isinstance(stated, int) and not isinstance(stated, bool) and 0 < stated < _LARGEST_LENGTH:
        return stated
    return int(language["max_position_embeddings"])
