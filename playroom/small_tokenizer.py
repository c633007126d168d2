"""The tokenizer of the small language models: Qwen's way, with the words of the playroom.

Byte-level, so that any text can be encoded; a word that training uses is one token. The special
words stand behind the vocabulary, as in Qwen2's.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING

from mlcd.core.language.formats.tokenizers import save_tokenizer
from mlcd.playroom.named_scenes import STATES
from mlcd.playroom.names import all_names, all_uses, categories
from mlcd.playroom.questions.relating import SIDE_WORDS
from mlcd.playroom.relations import PLACES
from mlcd.playroom.tints import NAMED_COLOURS
from mlcd.playroom.wordings import templates

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

SPECIAL_WORDS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MOST_TOKENS = 2000
MAX_LENGTH = 2048

_SYSTEM = ("You are a helpful assistant.", "system\n", "user\n", "assistant\n")
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen2 cuts text before it is encoded."""


def training_texts() -> Iterator[str]:
    """Everything that conversations are made of: the wordings of training and all that fills them.

    Each filler comes as an answer and after a space, as within a sentence.
    """
    fillers = [text for name in all_names() for text in (name.text, name.plural)]
    fillers += [*NAMED_COLOURS, *STATES, *PLACES, *SIDE_WORDS, *SIDE_WORDS.values()]
    fillers += [text for pair in categories().items() for text in pair]
    fillers += [*(use.purpose for use in all_uses()), "biggest", "smallest", "things", "yes", "no"]
    fillers += ["a", "an", "in front of", "behind", *map(str, range(10))]
    yield from _SYSTEM
    for filler, form in product(fillers, ("{}", " {}", " {}.", " {}?", " {},")):
        yield form.format(filler)
    for part in ("references", "questions"):
        for splits in templates(part).values():
            for template in splits["train"]:
                literals = [literal for literal, *_ in Formatter().parse(template)]
                yield from literals
                yield from (
                    literal.lstrip()[:1].upper() + literal.lstrip()[1:] for literal in literals
                )


def build_tokenizer() -> Tokenizer:
    """The tokenizer, trained anew: the same lists give the same tokens."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
    from tokenizers.models import BPE
    from tokenizers.trainers import BpeTrainer

    tokenizer = Tokenizer(BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=MOST_TOKENS - len(SPECIAL_WORDS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(training_texts()), trainer)
    tokenizer.add_special_tokens(
        [AddedToken(word, special=True, normalized=False) for word in SPECIAL_WORDS]
    )
    return tokenizer


def small_tokenizer() -> PreTrainedTokenizerFast:
    """It as Transformers has it, with the ends that Qwen2's has."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=build_tokenizer(),
        pad_token=SPECIAL_WORDS[0],
        eos_token=SPECIAL_WORDS[2],
        additional_special_tokens=[SPECIAL_WORDS[1]],
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
    )


def save_small_tokenizer(folder: Path) -> None:
    """Write it as every version of Transformers reads it: tokenizer.json, tokenizer_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tokenizer(small_tokenizer(), folder, max_length=MAX_LENGTH)
