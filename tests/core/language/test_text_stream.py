"""Pieces join to the text of all ids, are whole characters, and end before a stop text."""

from __future__ import annotations

import random

import pytest
from tests.core.language.toy_tokenizer import byte_tokenizer, qwen_words
from tokenizers import Tokenizer
from tokenizers.decoders import Metaspace as MetaspaceDecoder
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Metaspace
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from mlcd.core.language.text_stream import TextStream
from mlcd.core.language.tokens import decode_ids, encode_text

TEXT = "A naïve 🦜, don't ask. ¿Café 猫? \ufffd \n\n  done 👩‍👩‍👧"


def pieces_of(
    tokenizer: PreTrainedTokenizerBase, ids: list[int], stop: tuple[str, ...] = ()
) -> list[str]:
    stream = TextStream(tokenizer, stop)
    pieces = []
    for number in ids:
        pieces.append(stream.add(number))
        if stream.is_stopped:
            return pieces
    return [*pieces, stream.finish()]


def test_bytes_are_held_back_until_a_character_is_whole() -> None:
    tokenizer = byte_tokenizer()
    ids = encode_text(tokenizer, TEXT)
    pieces = pieces_of(tokenizer, ids)
    assert "".join(pieces) == TEXT
    whole = [piece for piece in pieces if piece]
    assert whole[:9] == ["A", " ", "n", "a", "ï", "v", "e", " ", "🦜"]
    encoded = "".join(pieces[: len("A naïve ".encode()) + 3])
    assert encoded == "A naïve "  # three of the parrot's four bytes


def test_words_of_a_vocabulary_come_one_by_one() -> None:
    ids = encode_text(qwen_words(), "A naïve 🦜, don't ask.")
    pieces = pieces_of(qwen_words(), ids)
    assert pieces == ["A", " naï", "ve", "", "", " 🦜", ",", " don", "'t", " ask", ".", ""]


def test_spaces_of_a_decoder_that_drops_the_first_are_kept() -> None:
    words = Tokenizer(WordLevel({"▁a": 0, "▁red": 1, "▁cup": 2, "?": 3}, unk_token="?"))
    words.pre_tokenizer, words.decoder = Metaspace(), MetaspaceDecoder()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words)
    assert pieces_of(tokenizer, [0, 1, 2, 2]) == ["a", " red", " cup", " cup", ""]


@pytest.mark.parametrize("seed", range(20))
def test_any_bytes_join_to_what_the_tokenizer_says(seed: int) -> None:
    """Among them broken characters and special words."""
    tokenizer, draw = byte_tokenizer(), random.Random(seed)
    ids = [draw.choice([draw.randrange(259), *encode_text(tokenizer, "🦜é")]) for _ in range(60)]
    assert "".join(pieces_of(tokenizer, ids)) == decode_ids(tokenizer, ids)


def test_a_broken_character_at_the_end_is_given_at_the_end() -> None:
    tokenizer = byte_tokenizer()
    ids = encode_text(tokenizer, "a🦜")[:-1]
    assert pieces_of(tokenizer, ids) == ["a", "", "", "", "\ufffd"]


def test_nothing_of_a_stop_text_is_given() -> None:
    tokenizer = byte_tokenizer()
    ids = encode_text(tokenizer, "one ##two ###three")
    pieces = pieces_of(tokenizer, ids, stop=("###", "nothing"))
    assert "".join(pieces) == "one ##two "
    assert pieces[4:7] == ["", "", "##t"]  # what could be one is held back, and given if it is none
    assert "".join(pieces_of(tokenizer, ids, stop=("three!",))) == "one ##two ###three"


def test_the_first_of_several_stop_texts_counts() -> None:
    stream = TextStream(qwen_words(), ("ask", "n't", "don"))
    text = "".join(stream.add(number) for number in encode_text(qwen_words(), "A naïve 🦜, don't"))
    assert text == "A naïve 🦜, "
    assert stream.is_stopped
    assert stream.add(32) == ""
    assert stream.finish() == ""


def test_a_stop_text_may_be_made_of_characters_of_several_bytes() -> None:
    tokenizer = byte_tokenizer()
    ids = encode_text(tokenizer, "la 🦜é la")
    assert "".join(pieces_of(tokenizer, ids, stop=("🦜é",))) == "la "


def test_no_ids_are_no_text() -> None:
    assert TextStream(byte_tokenizer()).finish() == ""
