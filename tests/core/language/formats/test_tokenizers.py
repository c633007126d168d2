"""A tokenizer that does not belong to a model is refused before the model is used."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.core.language.formats.folders import LANGUAGE, speaking_vlm
from tests.core.language.toy_tokenizer import VOCAB_SIZE, byte_tokenizer, qwen_words
from transformers import AutoTokenizer

from mlcd.core.checkpoint import read_json
from mlcd.core.language import load_vlm, save_vlm
from mlcd.core.language.formats.tokenizers import generation_config, has_tokenizer, save_tokenizer
from mlcd.core.language.tokens import encode_text, special_words


def test_a_vocabulary_larger_than_the_table_is_refused(tmp_path: Path) -> None:
    save_vlm(speaking_vlm(language={**LANGUAGE, "vocab_size": VOCAB_SIZE - 1}), tmp_path)
    with pytest.raises(ValueError, match="has 259 ids, the language model 258 rows for them"):
        load_vlm(tmp_path)


def test_a_template_that_does_not_belong_to_the_tokenizer_is_refused(tmp_path: Path) -> None:
    save_vlm(speaking_vlm(), tmp_path, tokenizer=byte_tokenizer(("</s>",)))
    with pytest.raises(ValueError, match=r"qwen_1_5 needs the special words <.im_start.>"):
        load_vlm(tmp_path)


def test_the_plain_template_takes_any_tokenizer(tmp_path: Path) -> None:
    save_vlm(speaking_vlm(template="plain"), tmp_path, tokenizer=byte_tokenizer(("</s>",)))
    assert load_vlm(tmp_path).tokenizer is not None


@pytest.mark.parametrize("words", [byte_tokenizer, qwen_words])
def test_what_is_written_is_read_by_transformers_as_it_was(words: object, tmp_path: Path) -> None:
    tokenizer = words()  # type: ignore[operator]
    assert not has_tokenizer(tmp_path)
    save_tokenizer(tokenizer, tmp_path, max_length=99)
    assert has_tokenizer(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    text = "What is on the table?\nA naïve 🦜."
    assert encode_text(again, text) == encode_text(tokenizer, text)
    assert special_words(again) == special_words(tokenizer)
    assert again.model_max_length == 99
    values = read_json(tmp_path / "tokenizer_config.json")
    assert values["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert not {"is_local", "local_files_only"} & set(values)


def test_the_words_that_end_an_answer() -> None:
    config = speaking_vlm().config
    assert generation_config(config, byte_tokenizer())["eos_token_id"] == [258]
    assert generation_config(config, qwen_words())["eos_token_id"] == [151645]
    plain = speaking_vlm(template="plain").config
    assert generation_config(plain, byte_tokenizer(())) == {}
