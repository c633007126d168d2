"""[SEG] is one id, and no text of a user writes it."""

from __future__ import annotations

import pytest
from tests.core.language.toy_tokenizer import byte_tokenizer, qwen_words
from transformers import AddedToken

from mlcd.apps.seg.config import SEG
from mlcd.apps.seg.seg_word import add_seg, decode_answer, encode_answer, find_seg
from mlcd.core.language.tokens import encode_text, special_id


def test_the_word_is_added_once() -> None:
    tokenizer = byte_tokenizer()
    length = len(tokenizer)
    assert add_seg(tokenizer) == length
    assert add_seg(tokenizer) == length
    assert len(tokenizer) == length + 1
    assert find_seg(tokenizer) == length
    assert special_id(tokenizer, "<|im_end|>") == 258  # the others are special still


def test_qwen_has_the_published_id() -> None:
    assert add_seg(qwen_words()) == 151_665


def test_a_vocabulary_that_splits_it_is_refused() -> None:
    with pytest.raises(ValueError, match=r"splits \[SEG\] into 5 ids"):
        find_seg(byte_tokenizer())


def test_a_user_cannot_write_it_even_where_it_was_an_ordinary_word() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([AddedToken(SEG, special=False, normalized=False)])
    assert special_id(tokenizer, SEG) is None
    number = find_seg(tokenizer)
    assert number == 259
    assert number not in encode_text(tokenizer, f"a {SEG} b")
    assert special_id(tokenizer, SEG) == number


@pytest.mark.parametrize("text", ["It is [SEG].", "[SEG]", "[SEG][SEG] and [SEG]", "no, not there"])
def test_answers_go_there_and_back(text: str) -> None:
    tokenizer = byte_tokenizer()
    number = add_seg(tokenizer)
    ids = encode_answer(tokenizer, text, number)
    assert ids.count(number) == text.count(SEG)
    assert decode_answer(tokenizer, ids, number) == text
    whole = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert ids == whole  # as training on the text as a whole has it
