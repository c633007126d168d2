"""A segmentation model in the published layout, as DeepGlint's folder lies on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mlcd.apps.seg.model import SegmentationModel
from mlcd.apps.seg.sam import sam_weights
from mlcd.apps.seg.sam_names import original_name
from mlcd.core.checkpoint import iterate_weights, write_weights
from mlcd.core.language.formats.llava_next_writing import write_llava_next


def publish(model: SegmentationModel, folder: Path, **settings: Any) -> Path:
    """Write it there; `settings` change its config.json."""
    folder.mkdir()
    assert model.vlm.tokenizer is not None
    write_llava_next(model.vlm, folder, tokenizer=model.vlm.tokenizer, dtype=torch.float32)
    state: dict[str, Tensor] = {key: value.clone() for key, value in iterate_weights(folder)}
    for key, value in sam_weights(model.sam).items():
        state[f"model.sam.{original_name(key)}"] = value
    for key, value in model.text_to_prompt.state_dict().items():
        state[f"model.text2sam_projection.{key}"] = value
    write_weights(folder, state)
    file = folder / "config.json"
    values = json.loads(file.read_text())
    values |= {"architectures": ["MLCDSegForCausalLM"], "model_type": "qwen2", **settings}
    file.write_text(json.dumps(values))
    return folder


def change_weights(folder: Path, changes: dict[str, Tensor | None]) -> None:
    """Put weights in, or take out those that are None."""
    state = {key: value.clone() for key, value in iterate_weights(folder)}
    for key, value in changes.items():
        if value is None:
            del state[key]
        else:
            state[key] = value
    write_weights(folder, state)
