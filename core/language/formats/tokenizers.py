"""Whether a tokenizer belongs to a model, and the files of it that a published layout has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcd.core.checkpoint import read_json
from mlcd.core.files import write_text
from mlcd.core.language.config import VlmConfig
from mlcd.core.language.templates import end_ids, render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_FILES = ("tokenizer.json", "vocab.json", "tokenizer.model", "tokenizer_config.json")

_OF_THIS_RUN = ("is_local", "local_files_only", "backend")  # how the tokenizer itself was read


def has_tokenizer(folder: Path) -> bool:
    """Whether a model folder holds a tokenizer of any kind, to be read or refused."""
    return any((folder / name).is_file() for name in _FILES)


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, config: VlmConfig, folder: Path) -> None:
    """ValueError when the vocabulary is larger than the model's table of embeddings, or lacks the
    words of the model's template.
    """
    ids, rows = len(tokenizer), config.language["vocab_size"]
    if ids > rows:
        raise ValueError(
            f"{folder}: the tokenizer has {ids:,} ids, the language model {rows:,} rows for them: "
            "take the tokenizer that the model was trained with, or resize its vocabulary"
        )
    if config.template == "qwen_1_5":
        try:
            render([{"role": "user", "content": "?"}], config.template, tokenizer)
        except ValueError as error:
            raise ValueError(f"{folder}: {error}") from error


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path, *, max_length: int) -> None:
    """Write the tokenizer's files, as every version of Transformers reads them."""
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    stated = {key: value for key, value in read_json(file).items() if key not in _OF_THIS_RUN}
    # Version 5 names a class here that older ones do not know, and its class for Qwen2 makes up
    # its own rules; this one takes tokenizer.json as it is.
    changes = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "padding_side": "right",
    }
    write_text(file, json.dumps(stated | changes, indent=2) + "\n")


def generation_config(config: VlmConfig, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """The `generation_config.json` with the words that end an answer."""
    ends = sorted(end_ids(config.template, tokenizer))
    if not ends:
        return {}
    pad = tokenizer.pad_token_id
    return {"eos_token_id": ends, "pad_token_id": ends[0] if pad is None else pad}
