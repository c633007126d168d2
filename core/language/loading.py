"""Reading a vision-language model, and writing it in our format."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mlcd.core.checkpoint import (
    cast_weight,
    cast_weights,
    weights_digest,
    write_weights,
)
from mlcd.core.files import atomic_folder, write_text
from mlcd.core.language.causes import causes_of_report
from mlcd.core.language.config import KIND, VlmConfig
from mlcd.core.language.formats.recognise import recognise
from mlcd.core.language.formats.tokenizers import check_tokenizer, has_tokenizer
from mlcd.core.language.qwen2 import restore_buffers, use_fastest_attention
from mlcd.core.language.stored import HEAD, build_empty, stored_weights
from mlcd.core.language.tokens import load_tokenizer
from mlcd.core.language.vlm import VisionLanguageModel
from mlcd.core.models import find_model

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_vlm(
    name_or_path: str | Path,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> VisionLanguageModel:
    """The vision-language model in an embedded model, a model folder (ours, LLaVA-NeXT's or
    Transformers') or a hub id, with its tokenizer where the folder has one.

    In evaluation mode, on the CPU in float32 unless `device` and `dtype` say otherwise; a CUDA
    device alone means bfloat16. ValueError, naming the keys and the likely cause, when the weights
    are not exactly those of the architecture, and when the tokenizer does not fit the model.

    Weights that need no other number type stay mapped from their files: they may be replaced or
    removed while the model is in use, but not overwritten in place.
    """
    path = find_model(name_or_path)
    source = recognise(path)
    report = source.compare()
    if not report.is_clean:
        likely = "".join(f"; likely {cause}" for cause in causes_of_report(source, report)[:1])
        raise ValueError(f"{path}: {report.summary()}; see `mlcd embodied check {path}`{likely}")
    tokenizer = None
    if has_tokenizer(source.tokenizer_folder):
        tokenizer = load_tokenizer(source.tokenizer_folder)
        check_tokenizer(tokenizer, source.config, source.tokenizer_folder)
    vlm = assemble(source.config, source.weights(), device=device, dtype=dtype)
    vlm.tokenizer = tokenizer
    vlm.name = str(name_or_path)
    return vlm


def assemble(
    config: VlmConfig,
    weights: Iterable[tuple[str, Tensor]],
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> VisionLanguageModel:
    """A model in evaluation mode around its weights, each brought to device and dtype as it comes.

    Weights that are there already are taken as they are, not copied. RuntimeError, naming the
    keys, when they are not those of the architecture.
    """
    device = torch.device(device or "cpu")
    dtype = dtype or (torch.bfloat16 if device.type == "cuda" else torch.float32)
    vlm = build_empty(config)
    state = {key: cast_weight(value, dtype).to(device) for key, value in weights}
    if config.language.get("tie_word_embeddings"):
        state[HEAD] = state["language.model.embed_tokens.weight"]
    vlm.load_state_dict(state, assign=True)
    restore_buffers(vlm.language, device)
    use_fastest_attention(vlm.language)
    return vlm.eval()


def save_vlm(
    vlm: VisionLanguageModel,
    folder: str | Path,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    card: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
    overwrite: bool = False,
) -> None:
    """Write a model folder of ours: `config.json`, weights, `model_card.json`, tokenizer files.

    The tokenizer is the model's own unless another is given; a model without one is written
    without. `card` says what the weights are; the parameter count and the digest of the weights as
    written are added to it. All or nothing: a full disk or an interrupt leaves no half-written
    folder. FileExistsError when the folder is not empty, unless it may be overwritten.
    """
    tokenizer = tokenizer or vlm.tokenizer
    state = cast_weights(stored_weights(vlm), dtype)
    facts = {
        "parameters": sum(value.numel() for value in vlm.parameters()),
        "weights_dtype": str(dtype).removeprefix("torch."),
        "weights_sha256": weights_digest(state),
    }
    config = {"kind": KIND} | vlm.config.to_dict()
    with atomic_folder(folder, overwrite=overwrite) as part:
        write_weights(part, state)
        write_text(part / "config.json", json.dumps(config, indent=2) + "\n")
        write_text(part / "model_card.json", json.dumps({**(card or {}), **facts}, indent=2) + "\n")
        if tokenizer is not None:
            tokenizer.save_pretrained(part)
