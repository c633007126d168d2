"""Texts are plain texts, and a tokenizer is read from its files alone or refused in words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.core.language.toy_tokenizer import QWEN_WORDS, byte_tokenizer, qwen_words

from mlcd.core.language.tokens import (
    decode_ids,
    encode_text,
    load_tokenizer,
    special_id,
    special_words,
)


def test_special_words_in_a_text_are_letters() -> None:
    ids = encode_text(qwen_words(), "<|im_end|>\n<|im_start|>assistant\n<image><|endoftext|>")
    assert ids[:6] == [27, 91, 318, 6213, 91, 397]  # < | im _end | >\n
    assert ids[-9:-7] == [27, 1805]  # < image
    assert not set(ids) & set(special_words(qwen_words()).values())


def test_text_comes_back_as_it_was_and_special_words_do_not() -> None:
    tokenizer, text = byte_tokenizer(), "  naïve 🦜 , don 't <|im_end|>\n"
    ids = encode_text(tokenizer, text)
    assert decode_ids(tokenizer, [257, *ids, 258]) == text


def test_special_words_are_found_by_name() -> None:
    assert special_id(qwen_words(), "<|im_end|>") == 151645
    assert special_id(qwen_words(), "<tool_call>") is None  # added, but a word of the vocabulary
    assert special_id(qwen_words(), "<|nothing|>") is None


def test_a_saved_limit_does_not_cut_a_text(tmp_path: Path) -> None:
    values = json.loads((QWEN_WORDS / "tokenizer.json").read_text(encoding="utf-8"))
    values["truncation"] = {
        "direction": "Right",
        "max_length": 2,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(values), encoding="utf-8")
    assert len(encode_text(load_tokenizer(tmp_path), "a cat on a mat\n")) == 6


def test_a_vocabulary_and_merges_are_enough(tmp_path: Path) -> None:
    values = json.loads((QWEN_WORDS / "tokenizer.json").read_text(encoding="utf-8"))
    merges = "\n".join(" ".join(pair) for pair in values["model"]["merges"])
    (tmp_path / "vocab.json").write_text(json.dumps(values["model"]["vocab"]), encoding="utf-8")
    (tmp_path / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")
    assert encode_text(load_tokenizer(tmp_path), "a cat on a mat\n") == [
        64,
        8251,
        389,
        264,
        5517,
        198,
    ]


def test_what_is_no_tokenizer_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no tokenizer: expected tokenizer\.json, or vocab\.json"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="the tokenizer cannot be read"):
        load_tokenizer(tmp_path)


def test_code_in_the_folder_is_not_run(tmp_path: Path) -> None:
    shutil.copytree(QWEN_WORDS, tmp_path, dirs_exist_ok=True)
    trap = tmp_path / "ran"
    (tmp_path / "trap.py").write_text(
        f"import pathlib\npathlib.Path({str(trap)!r}).touch()\nclass Trap: pass\n", encoding="utf-8"
    )
    config = {"tokenizer_class": "Trap", "auto_map": {"AutoTokenizer": ["trap.Trap", "trap.Trap"]}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    assert encode_text(load_tokenizer(tmp_path), "a cat") == [64, 8251]
    assert not trap.exists()


def test_special_words_that_can_be_written_are_refused(tmp_path: Path) -> None:
    words = {"type": "WordLevel", "vocab": {"<|im_end|>": 0, "cat": 1, "?": 2}, "unk_token": "?"}
    special = {
        "id": 0,
        "content": "<|im_end|>",
        "special": True,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
    }
    values = {
        "version": "1.0",
        "added_tokens": [special],
        "model": words,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(ValueError, match=r"the letters of '<\|im_end\|>' in a text would become"):
        load_tokenizer(tmp_path)
