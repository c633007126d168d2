"""Reading a segmentation model, and writing it in our format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mlcd.apps.seg.config import KIND, SegConfig
from mlcd.apps.seg.model import SegmentationModel
from mlcd.apps.seg.sam_files import fill_sam
from mlcd.apps.seg.seg_word import find_seg
from mlcd.apps.seg.source import PROJECTION, SAM, VLM, build_empty, recognise, seg_weights
from mlcd.core.checkpoint import cast_weight, cast_weights, weights_digest, write_weights
from mlcd.core.files import atomic_folder, write_text
from mlcd.core.language.formats.tokenizers import check_tokenizer, has_tokenizer
from mlcd.core.language.loading import assemble
from mlcd.core.language.tokens import load_tokenizer
from mlcd.core.models import find_model

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_seg(
    name_or_path: str | Path,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> SegmentationModel:
    """The segmentation model in an embedded model, a folder (ours or the published layout) or a
    hub id, with its tokenizer.

    In evaluation mode, on the CPU in float32 unless `device` and `dtype` say otherwise; a CUDA
    device alone means bfloat16. ValueError, naming the keys, when the weights are not exactly those
    of the architecture, and when the tokenizer does not fit or splits [SEG].
    """
    path = find_model(name_or_path)
    source = recognise(path)
    report = source.compare()
    if not report.is_clean:
        raise ValueError(f"{path}: {report.summary()}; see `mlcd seg check {path}`")
    tokenizer = read_tokenizer(path, source.config)
    device = torch.device(device or "cpu")
    dtype = dtype or (torch.bfloat16 if device.type == "cuda" else torch.float32)
    parts: dict[str, dict[str, Tensor]] = {VLM: {}, SAM: {}, PROJECTION: {}}
    for key, value in source.weights():
        prefix = key.partition(".")[0] + "."
        parts[prefix][key.removeprefix(prefix)] = value
    model = build_empty(source.config)
    model.vlm = assemble(source.config.vlm, parts[VLM].items(), device=device, dtype=dtype)
    fill_sam(model.sam, parts[SAM].items(), device=device, dtype=dtype)
    projection = {
        key: cast_weight(value, dtype).to(device) for key, value in parts[PROJECTION].items()
    }
    model.text_to_prompt.load_state_dict(projection, assign=True)
    model.vlm.tokenizer = tokenizer
    model.name = str(name_or_path)
    return model.eval()


def read_tokenizer(folder: Path, config: SegConfig) -> PreTrainedTokenizerBase:
    """The tokenizer of a segmentation model; ValueError when it is not there or not the model's."""
    if not has_tokenizer(folder):
        raise ValueError(f"{folder}: no tokenizer; copy the files of the model's own into it")
    tokenizer = load_tokenizer(folder)
    try:
        found = find_seg(tokenizer)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error
    if found != config.seg_id:
        raise ValueError(
            f"{folder}: the tokenizer has [SEG] as id {found}, the model was trained with "
            f"{config.seg_id}: take the tokenizer that belongs to it"
        )
    check_tokenizer(tokenizer, config.vlm, folder)
    return tokenizer


def save_seg(
    model: SegmentationModel,
    folder: str | Path,
    *,
    card: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
    overwrite: bool = False,
) -> None:
    """Write a model folder of ours: `config.json`, weights, `model_card.json`, tokenizer files.

    `card` says what the weights are; the parameter count and the digest of the weights as written
    are added to it. All or nothing: a full disk or an interrupt leaves no half-written folder.
    FileExistsError when the folder is not empty, unless it may be overwritten. ValueError for a
    model without a tokenizer.
    """
    tokenizer = model.vlm.tokenizer
    if tokenizer is None:
        raise ValueError("a segmentation model is written with its tokenizer, and it has none")
    state = cast_weights(seg_weights(model), dtype)
    facts = {
        "parameters": sum(value.numel() for value in model.parameters()),
        "weights_dtype": str(dtype).removeprefix("torch."),
        "weights_sha256": weights_digest(state),
    }
    config = {"kind": KIND} | model.config.to_dict()
    with atomic_folder(folder, overwrite=overwrite) as part:
        write_weights(part, state)
        write_text(part / "config.json", json.dumps(config, indent=2) + "\n")
        write_text(part / "model_card.json", json.dumps({**(card or {}), **facts}, indent=2) + "\n")
        tokenizer.save_pretrained(part)
