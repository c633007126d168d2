"""Small models in every layout, and folders of them spoiled on purpose."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tests.core.language.toy_models import TOY_LANGUAGE, random_vlm, speckled
from tests.core.language.toy_tokenizer import VOCAB_SIZE, byte_tokenizer
from torch import Tensor

from mlcd.core.language import VisionLanguageModel
from mlcd.core.language.config import IMAGE_TOKEN
from mlcd.core.language.formats.llava_hf_writing import write_transformers
from mlcd.core.language.formats.llava_next_writing import write_llava_next
from mlcd.core.language.tiles import cut_images
from mlcd.core.language.vlm import Sample
from mlcd.core.towers.config import Form

SPARE = 5
"""Rows of the table of embeddings that no word has."""
LANGUAGE = {**TOY_LANGUAGE, "vocab_size": VOCAB_SIZE + SPARE}
HF_RULES = {"unpad_rule": "round", "several_images": "tiled"}


def speaking_vlm(form: Form = "clip", **changes: Any) -> VisionLanguageModel:
    """A random model with a tokenizer of bytes."""
    vlm = random_vlm(form, **{"language": LANGUAGE, **changes})
    vlm.tokenizer = byte_tokenizer()
    return vlm


def llava_next_folder(folder: Path, form: Form = "clip", **changes: Any) -> VisionLanguageModel:
    """The model that was written there."""
    vlm = speaking_vlm(form, **changes)
    folder.mkdir()
    assert vlm.tokenizer is not None
    write_llava_next(vlm, folder, tokenizer=vlm.tokenizer, dtype=torch.float32)
    return vlm


def transformers_folder(folder: Path, form: Form = "clip", **changes: Any) -> VisionLanguageModel:
    """The model that was written there."""
    vlm = speaking_vlm(form, **HF_RULES, **changes)
    folder.mkdir()
    assert vlm.tokenizer is not None
    write_transformers(vlm, folder, tokenizer=vlm.tokenizer, dtype=torch.float32)
    return vlm


def logits_of(vlm: VisionLanguageModel, *sizes: tuple[int, int]) -> Tensor:
    """Of pictures and a few words: (L', V)."""
    pictures = [speckled(*size) for size in sizes or ((70, 50),)]
    ids = torch.tensor([3, *[IMAGE_TOKEN] * len(pictures), 4, 5])
    with torch.no_grad():
        output = vlm([Sample(ids, None, cut_images(pictures, vlm.config))])
    assert output.logits is not None
    return output.logits[0]


def same_weights(first: VisionLanguageModel, second: VisionLanguageModel) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def edit_config(folder: Path, name: str = "config.json", **changes: Any) -> None:
    """Set values of a JSON file; a value of `...` is taken out."""
    values = json.loads((folder / name).read_text()) | changes
    kept = {key: value for key, value in values.items() if value is not ...}
    (folder / name).write_text(json.dumps(kept))


def edit_weights(folder: Path, edit: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    state = edit(load_file(folder / "model.safetensors"))
    save_file(
        {key: value.contiguous() for key, value in state.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
