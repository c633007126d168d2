"""Whether a tokenizer belongs to a model: its ids must have rows, its template's words must be ids."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlcd.core.language.config import VlmConfig
from mlcd.core.language.templates import render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_FILES = ("tokenizer.json", "vocab.json", "tokenizer.model", "tokenizer_config.json")


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
