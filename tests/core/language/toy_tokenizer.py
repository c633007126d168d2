"""A tokenizer of bytes, small enough to make in a test: ids 0 to 255, then three special words."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from mlcd.core.language.tokens import load_tokenizer

QWEN_WORDS = Path(__file__).parent / "qwen_words"
"""Qwen2.5's tokenizer with the few words that the tests use, under their real ids."""

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VOCAB_SIZE = 256 + len(SPECIAL)


def byte_tokenizer(special: tuple[str, ...] = SPECIAL) -> PreTrainedTokenizerBase:
    vocab = {letter: number for number, letter in enumerate(sorted(ByteLevel.alphabet()))}
    words = Tokenizer(BPE(vocab, []))
    words.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
    words.decoder = ByteLevelDecoder()
    words.add_special_tokens(list(special))
    end = special[-1] if special else None
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token=end)


def qwen_words() -> PreTrainedTokenizerBase:
    return load_tokenizer(QWEN_WORDS)
