"""The small tokenizer: any text, one token a word, the same each time, as Transformers reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from mlcd.core.language.templates import render
from mlcd.core.language.tokens import decode_ids, encode_text, load_tokenizer
from mlcd.playroom.conversations import conversation
from mlcd.playroom.names import all_names
from mlcd.playroom.small_tokenizer import SPECIAL_WORDS, build_tokenizer, save_small_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    save_small_tokenizer(folder)
    return folder


def test_it_is_built_the_same_each_time_and_is_small() -> None:
    first = build_tokenizer()
    assert first.to_str() == build_tokenizer().to_str()
    assert 1000 <= first.get_vocab_size() <= 2000


def test_every_name_is_one_token_as_an_answer_and_within_a_sentence(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    for name in all_names():
        for text in (name.text, f" {name.text}", f" {name.plural}"):
            assert len(encode_text(tokenizer, text)) == 1, text


def test_a_question_has_about_as_many_tokens_as_words_and_signs(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    for index in range(20):
        for turn in conversation(0, index, size=48).turns:
            most = len(turn.question.split()) + sum(turn.question.count(c) for c in ".,:?")
            assert len(encode_text(tokenizer, turn.question)) <= most


@pytest.mark.parametrize("text", ["Äpfel & 漢字 🙂\n\n  x", "<|im_end|>", "It's 42."])
def test_any_text_comes_back_and_special_words_cannot_be_written(folder: Path, text: str) -> None:
    tokenizer = load_tokenizer(folder)
    ids = encode_text(tokenizer, text)
    assert decode_ids(tokenizer, ids) == text
    assert not set(ids) & set(tokenizer.convert_tokens_to_ids(list(SPECIAL_WORDS)))


def test_transformers_reads_it_and_the_template_of_qwen_fits(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token == "<|endoftext|>"
    ids = render([{"role": "user", "content": "What is the red thing?"}], "qwen_1_5", tokenizer)
    assert len(ids) < 30
    assert tokenizer.decode(ids).endswith(
        "What is the red thing?<|im_end|>\n<|im_start|>assistant\n"
    )
