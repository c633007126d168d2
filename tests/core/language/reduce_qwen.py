"""Makes `qwen_words/`: of Qwen2.5's vocabulary what a few texts need, under the real ids.

    python tests/core/language/reduce_qwen.py FOLDER_OF_THE_WHOLE_TOKENIZER

The whole one comes with `make peers`. A merge can take part in encoding a text only if what it
makes stands somewhere in the text, so leaving out the others changes no id.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

REDUCED = Path(__file__).parent / "qwen_words"

TEXTS = (
    "system\nYou are a helpful assistant.",
    "user\n",
    "\nWhat is on the table?\nOne word.",
    "assistant\nA red cup.",
    "user\nAnd left of it?",
    "assistant\nA naïve 🦜, don't ask.",
    "assistant\n\n\nTwo breaks.",
    "<|im_end|>\n<|im_start|>assistant\n<image><|endoftext|>",
    "a cat on a mat\n",
)


def reduce_tokenizer(whole: str, texts: tuple[str, ...]) -> dict[str, Any]:
    """The content of a `tokenizer.json` with what `texts` need of the content `whole`."""
    values: dict[str, Any] = json.loads(whole)
    before = Tokenizer.from_str(whole).pre_tokenizer
    words = {word for text in texts for word, _ in before.pre_tokenize_str(text)}
    merges = [
        pair if isinstance(pair, list) else pair.split(" ") for pair in values["model"]["merges"]
    ]
    kept = [pair for pair in merges if any("".join(pair) in word for word in words)]
    vocab = values["model"]["vocab"]
    needed = {token for token in vocab if len(token) == 1} | {"".join(pair) for pair in kept}
    values["added_tokens"] = [word for word in values["added_tokens"] if word["id"] < 151665]
    # in the vocabulary too: an added word that it does not hold gets the next free id, not its own
    special = {word["content"]: word["id"] for word in values["added_tokens"]}
    values["model"]["merges"] = kept
    values["model"]["vocab"] = {token: vocab[token] for token in sorted(needed)} | special
    return values


def main() -> None:
    whole = Path(sys.argv[1]) / "tokenizer.json"
    reduced = reduce_tokenizer(whole.read_text(encoding="utf-8"), TEXTS)
    REDUCED.mkdir(exist_ok=True)
    (REDUCED / "tokenizer.json").write_text(json.dumps(reduced, indent=1) + "\n", encoding="utf-8")
    config = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    (REDUCED / "tokenizer_config.json").write_text(json.dumps(config) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
