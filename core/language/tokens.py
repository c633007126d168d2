"""Text and token ids. The words that structure a conversation are ids which the program writes.

A text is always plain text: `<|im_end|>` or `<image>` written in it becomes the tokens of these
letters, and nobody ends a turn or asks for a picture by writing so.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer in a model folder, from `tokenizer.json` or from `vocab.json` and `merges.txt`.

    Code in the folder is never run. ValueError when there is neither, when it cannot be read, or
    when the letters of a special word give its id, so that a user could write it.
    """
    from transformers import PreTrainedTokenizerFast, Qwen2Tokenizer

    folder = Path(folder)
    kind: type[PreTrainedTokenizerBase]
    if (folder / "tokenizer.json").is_file():
        kind = PreTrainedTokenizerFast
    elif (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        kind = Qwen2Tokenizer
    else:
        raise ValueError(
            f"{folder}: no tokenizer: expected tokenizer.json, or vocab.json and merges.txt; "
            "copy them from the language model that this one was trained from"
        )
    try:
        tokenizer: PreTrainedTokenizerBase = kind.from_pretrained(
            str(folder), local_files_only=True
        )
    except Exception as error:  # the parser raises bare Exceptions
        raise ValueError(f"{folder}: the tokenizer cannot be read: {error}") from error
    for word, special in special_words(tokenizer).items():
        if special in encode_text(tokenizer, word):
            raise ValueError(
                f"{folder}: the letters of {word!r} in a text would become the special word "
                "itself: its model must not hold the special words"
            )
    return tokenizer


def encode_text(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The ids of plain text, nothing added; special words in it are letters like any other."""
    encoded = tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)
    ids: list[int] = encoded["input_ids"]
    return ids


def decode_ids(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    """The text of ids without special words, exactly as the ids say it."""
    text = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert isinstance(text, str)
    return text


def special_words(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """The special words of a vocabulary and their ids."""
    added = tokenizer.added_tokens_decoder.items()
    return {token.content: number for number, token in added if token.special}


def special_id(tokenizer: PreTrainedTokenizerBase, word: str) -> int | None:
    """The id of one special word, or None where the vocabulary has no such word."""
    return special_words(tokenizer).get(word)
