"""Our pass of the decoder is Transformers', in one go, in parts and for several sequences."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.core.towers.toy_towers import difference, noise, randomise
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from mlcd.core.language import attention
from mlcd.core.language.decoder import check_decoder, predict, run_decoder
from mlcd.core.language.key_values import KeyValues

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "eos_token_id": None,
}
WIDTH = 64


def random_decoder(**changes: Any) -> Qwen2ForCausalLM:
    decoder = Qwen2ForCausalLM(Qwen2Config(**{**SIZES, **changes}))
    randomise(decoder)
    return decoder


@torch.no_grad()
def their_logits(language: Any, tokens: Tensor) -> Tensor:
    """(L, D) -> (V,) of the last token."""
    logits: Tensor = language(inputs_embeds=tokens[None], use_cache=False).logits
    return logits[0, -1]


def our_logits(language: Any, tokens: Tensor, counts: list[int], seen: KeyValues) -> Tensor:
    return predict(language, run_decoder(language, tokens, counts, seen))


@pytest.mark.parametrize("num_key_value_heads", [1, 2, 4])
@pytest.mark.parametrize("length", [1, 2, 40, 1100])
def test_a_sequence_in_one_go(length: int, num_key_value_heads: int) -> None:
    language = random_decoder(num_key_value_heads=num_key_value_heads)
    tokens = noise(length, WIDTH)
    ours = our_logits(language, tokens, [length], KeyValues(language.config))
    assert difference(ours[0], their_logits(language, tokens)) < 1e-4


@pytest.mark.parametrize("parts", [[1, 1, 1, 37], [39, 1], [20, 20], [3, 30, 7]])
def test_a_sequence_in_parts(parts: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_QUERIES", 8)  # so that masks come in pieces too
    language, tokens = random_decoder(), noise(40, WIDTH)
    seen = KeyValues(language.config)
    start = 0
    for count in parts:
        ours = our_logits(language, tokens[start : start + count], [count], seen)
        start += count
        assert difference(ours[0], their_logits(language, tokens[:start])) < 1e-4
    assert seen.lengths == [40]


def test_sequences_of_different_lengths_do_not_see_each_other() -> None:
    language = random_decoder()
    lengths = [5, 40, 1, 12]
    rows = [noise(length + 3, WIDTH, seed=length) for length in lengths]
    seen = KeyValues(language.config, 4)
    packed = torch.cat([row[:length] for row, length in zip(rows, lengths, strict=True)])
    ours = our_logits(language, packed, lengths, seen)
    for step in range(3):
        for number, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            expected = their_logits(language, row[: length + step])
            assert difference(ours[number], expected) < 1e-4
        more = torch.stack([row[length + step] for row, length in zip(rows, lengths, strict=True)])
        ours = our_logits(language, more, [1] * 4, seen)
    seen.select([3, 1])
    ours = our_logits(language, noise(2, WIDTH, seed=9), [1, 1], seen)
    for number, row in enumerate((3, 1)):
        tokens = torch.cat([rows[row], noise(2, WIDTH, seed=9)[number : number + 1]])
        assert difference(ours[number], their_logits(language, tokens)) < 1e-4


def test_sequences_of_one_length_need_no_mask_and_are_the_same() -> None:
    language, rows = random_decoder(), noise(3, 8, WIDTH)
    seen = KeyValues(language.config, 3)
    run_decoder(language, rows[:, :7].flatten(0, 1), [7] * 3, seen)
    ours = our_logits(language, rows[:, 7], [1] * 3, seen)
    for row, own in zip(rows, ours, strict=True):
        assert difference(own, their_logits(language, row)) < 1e-4


def test_llama_has_the_same_names_and_is_decoded_too() -> None:
    language = LlamaForCausalLM(LlamaConfig(**SIZES))
    randomise(language)
    tokens = noise(12, WIDTH)
    ours = our_logits(language, tokens, [12], KeyValues(language.config))
    assert difference(ours[0], their_logits(language, tokens)) < 1e-4


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "default", "rope_theta": 1_000_000.0},
        {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0},
        {"rope_type": "yarn", "rope_theta": 10_000.0, "factor": 4.0,
         "original_max_position_embeddings": 32},
    ],
)  # fmt: skip
def test_positions_are_turned_as_the_config_says(rope: dict[str, Any]) -> None:
    language, tokens = random_decoder(rope_parameters=rope), noise(30, WIDTH)
    seen = KeyValues(language.config)
    run_decoder(language, tokens[:20], [20], seen)
    ours = our_logits(language, tokens[20:], [10], seen)
    assert difference(ours[0], their_logits(language, tokens)) < 1e-4


def test_half_precision_is_as_close_to_float32_as_transformers_is() -> None:
    language, tokens = random_decoder(), noise(30, WIDTH)
    exact = their_logits(language, tokens)
    language = language.bfloat16()
    half = tokens.bfloat16()
    ours = our_logits(language, half, [30], KeyValues(language.config))[0]
    theirs = their_logits(language, half).float()
    assert ours.dtype == torch.float32
    assert difference(ours, exact) < 2 * difference(theirs, exact)


def test_the_tokens_that_are_given_stay_as_they_are() -> None:
    language, tokens = random_decoder(), noise(30, WIDTH)
    before = tokens.clone()
    run_decoder(language, tokens, [30], KeyValues(language.config))
    assert torch.equal(tokens, before)


def test_what_is_not_computed_is_refused_in_words() -> None:
    windows = random_decoder(use_sliding_window=True, sliding_window=8, max_window_layers=1)
    with pytest.raises(ValueError, match="sliding windows, which generation does not compute"):
        check_decoder(windows)
    with pytest.raises(ValueError, match="computes silu, this decoder has gelu"):
        check_decoder(random_decoder(hidden_act="gelu"))
    check_decoder(random_decoder())
