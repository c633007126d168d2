"""A model in int8 writes nearly the same, is measured, and says what it cannot do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.core.language.toy_models import speckled
from tests.core.language.toy_speaker import ask, toy_speaker
from tests.core.towers.toy_towers import difference
from torch import nn

from mlcd.core.int8_linear import Int8Linear
from mlcd.core.language import ConversationCache, generate_batch, save_vlm
from mlcd.core.language.int8 import DecoderInt8Linear, quantize_int8
from mlcd.core.language.logit_change import measure_logit_change
from mlcd.core.language.quantize import quantize
from mlcd.core.language.vlm import Sample

WIDE = speckled(90, 30)
QUESTIONS = [ask("What is this?", WIDE), ask("Why?")]


@pytest.mark.parametrize("with_tower", [False, True])
def test_logits_change_a_little(with_tower: bool) -> None:
    vlm = toy_speaker()
    int8 = quantize_int8(vlm, with_tower=with_tower)
    change = measure_logit_change(vlm, int8, QUESTIONS, max_new_tokens=10)
    assert change.num_tokens == 22
    assert 0 < change.mean < change.largest < change.spread
    assert change.mean < 0.05 * change.spread
    assert 0 < change.divergence < 0.01
    assert change.agreement > 0.85
    assert "logits of 22 tokens" in str(change)


def test_no_change_is_measured_as_none_and_noise_as_much() -> None:
    vlm = toy_speaker()
    same = measure_logit_change(vlm, vlm, QUESTIONS, max_new_tokens=6)
    assert (same.largest, same.mean, same.divergence, same.agreement) == (0, 0, 0, 1)
    other = measure_logit_change(vlm, toy_speaker(seed=1), QUESTIONS, max_new_tokens=6)
    assert other.mean > 0.5 * other.spread
    assert other.agreement < 0.5
    with pytest.raises(ValueError, match="expected at least one conversation"):
        measure_logit_change(vlm, vlm, [])


def test_all_ways_to_an_answer_are_the_same_in_int8() -> None:
    int8, cache = quantize(toy_speaker(seed=1)), ConversationCache()
    alone = [int8.generate(messages, max_new_tokens=8) for messages in QUESTIONS]
    assert [int8.generate(messages, cache=cache, max_new_tokens=8) for messages in QUESTIONS] == (
        alone
    )
    assert generate_batch(int8, QUESTIONS[:1]) == [int8.generate(QUESTIONS[0])]


@torch.no_grad()
def test_transformers_pass_of_the_decoder_takes_it_too() -> None:
    vlm = toy_speaker()
    sample = Sample(torch.tensor([3, 7, 20, 30, 8]), None, ())
    exact, changed = vlm([sample]).logits, quantize_int8(vlm)([sample]).logits
    assert 0 < difference(exact, changed) < 0.2 * float(exact.std())


def test_the_original_stays_as_it_was_and_the_rest_is_the_same() -> None:
    vlm = toy_speaker()
    vlm.name = "speaker"
    answer = vlm.generate(QUESTIONS[0], max_new_tokens=8)
    int8 = quantize_int8(vlm)
    decoder = int8.language.model
    assert isinstance(decoder.layers[1].mlp.down_proj, Int8Linear)
    assert isinstance(int8.language.lm_head, Int8Linear)
    assert not any(isinstance(module, Int8Linear) for module in int8.tower.modules())
    assert torch.equal(decoder.embed_tokens.weight, vlm.language.model.embed_tokens.weight)
    assert (int8.name, int8.tokenizer) == ("speaker in int8", vlm.tokenizer)
    for value in int8.state_dict().values():
        value.zero_()
    assert vlm.generate(QUESTIONS[0], max_new_tokens=8) == answer
    assert vlm.projector[0].weight.requires_grad
    assert not any(parameter.requires_grad for parameter in int8.parameters())


def test_a_head_that_is_the_embedding_is_quantised_and_the_embedding_is_not() -> None:
    tied = toy_speaker(language={**toy_speaker().config.language, "tie_word_embeddings": True})
    assert tied.language.lm_head.weight is tied.language.model.embed_tokens.weight
    int8 = quantize_int8(tied)
    assert isinstance(int8.language.lm_head, Int8Linear)
    assert int8.language.model.embed_tokens.weight.dtype == torch.float32
    change = measure_logit_change(tied, int8, QUESTIONS, max_new_tokens=4)
    assert 0 < change.mean < 0.05 * change.spread


def test_what_is_not_plain_is_refused_in_words() -> None:
    vlm = toy_speaker()
    with pytest.raises(ValueError, match="has a DecoderInt8Linear where"):
        quantize_int8(quantize_int8(vlm))
    vlm.language.model.layers[0].mlp.up_proj = nn.Identity()
    with pytest.raises(ValueError, match=r"has a Identity .* merge adapters into the weights"):
        quantize(vlm)
    with pytest.raises(ValueError, match="computes on the CPU alone, and unnamed is on meta"):
        quantize_int8(toy_speaker().to("meta"))


def test_int8_weights_are_never_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="int8 weights are not saved"):
        save_vlm(quantize_int8(toy_speaker()), tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


@torch.no_grad()
@pytest.mark.parametrize("outputs", [96, 1 << 15])
@pytest.mark.parametrize("has_bias", [True, False])
def test_however_many_rows_come_the_layer_is_the_one_it_was_made_from(
    outputs: int, has_bias: bool
) -> None:
    """Small and large layers have each their own ways for one row, a few, and many."""
    torch.manual_seed(0)
    layer = nn.Linear(96, outputs, bias=has_bias)
    int8 = DecoderInt8Linear(layer)
    for count in (0, 1, 5, 8, 9, 40):
        rows = torch.randn(count, 96) * torch.rand(count, 1) * 5 + 0.3
        exact, found = layer(rows), int8(rows)
        assert found.shape == exact.shape
        assert found.dtype == torch.float32
        if count:
            assert float((found - exact).norm() / exact.norm()) < 0.02
    assert int8(torch.zeros(1, 96)).allclose(layer(torch.zeros(1, 96)), atol=1e-6)
    assert int8(torch.randn(1, 3, 96)).shape == (1, 3, outputs)
    with torch.enable_grad(), pytest.raises(ValueError, match="gives no gradients"):
        int8(torch.randn(1, 96, requires_grad=True))
