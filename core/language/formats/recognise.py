"""From a folder on disk to the vision-language model in it: which layout it is, and its config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlcd.core.checkpoint import read_json
from mlcd.core.language.config import KIND, VlmConfig
from mlcd.core.language.formats import llava_hf, llava_next
from mlcd.core.language.formats.families import describe
from mlcd.core.language.formats.source import EVERYTHING, Part, VlmSource


def recognise(path: Path) -> VlmSource:
    """What a model folder is, by its `config.json`; or the folder around an `mm_projector.bin`.

    ValueError, saying what it is, when it is no vision-language model that is read here. Whether
    the keys are the right ones is for `VlmSource.compare`.
    """
    folder = path.parent if path.name == llava_next.PROJECTOR_FILE else path
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"{path}: expected a model folder with a config.json"
            + (", got a file" if path.is_file() else "")
        )
    values = read_json(folder / "config.json")
    if values.get("kind") == KIND:
        return _ours(folder, values)
    if "kind" not in values:
        model_type = values.get("model_type")
        if model_type == llava_next.MODEL_TYPE:
            return llava_next.read(folder, values)
        if isinstance(model_type, str) and model_type in llava_hf.CLASSES:
            return llava_hf.read(folder, values)
    raise ValueError(f"{folder / 'config.json'}: {describe(values)}")


def _ours(folder: Path, values: Mapping[str, Any]) -> VlmSource:
    try:
        config = VlmConfig.from_dict({key: values[key] for key in values if key != "kind"})
    except (ValueError, TypeError) as error:
        raise ValueError(f"{folder / 'config.json'}: {error}") from error
    return VlmSource(
        path=folder,
        description="our model folder",
        config=config,
        parts=(Part.read(folder, None, EVERYTHING),),
        tokenizer_folder=folder,
    )
