"""Likelihoods of answers are those of the logits that Transformers' forward pass gives."""

from __future__ import annotations

import pytest
import torch
from tests.core.language.toy_models import speckled
from tests.core.language.toy_speaker import ask, toy_speaker

from mlcd.core.language.conversation_cache import ConversationCache
from mlcd.core.language.likelihood import answer_likelihoods
from mlcd.core.language.prompt import read_prompt
from mlcd.core.language.vlm import Sample


@pytest.mark.parametrize("num_images", [0, 2])
def test_they_are_sums_of_the_log_softmax_over_the_answers_tokens(num_images: int) -> None:
    vlm = toy_speaker()
    messages = ask("Which?", *(speckled(20, 30, seed) for seed in range(num_images)))
    prompt = read_prompt(vlm, messages, (), ConversationCache(0).features)
    tiles = [own.tiles for own in prompt.pictures if own.tiles is not None]
    answers = ["a cup", "B", "a red ball"]
    for answer, found in zip(answers, answer_likelihoods(vlm, messages, answers), strict=True):
        assert vlm.tokenizer is not None
        ids = vlm.tokenizer.encode(answer)
        with torch.no_grad():
            logits = vlm([Sample(torch.tensor(prompt.ids + ids), None, tiles)]).logits[0]
        expected = 0.0
        for place, token in enumerate(ids):
            before = logits[len(logits) - len(ids) + place - 1]
            expected += float(before.log_softmax(0)[token])
        assert found.log_probability == pytest.approx(expected, rel=1e-4)
        assert found.num_tokens == len(ids)
        assert not found.is_greedy


def test_what_the_model_writes_itself_is_greedy_and_likelier_than_another_answer() -> None:
    vlm = toy_speaker()
    messages = ask("What is it?", speckled(40, 30))
    stream = vlm.stream(messages, max_new_tokens=1)
    written = "".join(stream)
    assert len(stream.ids) == 1
    assert written.isascii()
    assert written
    own, other = answer_likelihoods(vlm, messages, [written, "~" if written != "~" else "!"])
    assert own.is_greedy
    assert not other.is_greedy
    assert own.log_probability > other.log_probability


def test_pictures_that_a_cache_knows_change_nothing() -> None:
    vlm, cache = toy_speaker(), ConversationCache()
    messages = ask("Which?", speckled(20, 30))
    first = answer_likelihoods(vlm, messages, ["yes", "no"], cache=cache)
    assert answer_likelihoods(vlm, messages, ["yes", "no"], cache=cache) == first


def test_an_empty_answer_and_one_without_room_are_refused() -> None:
    vlm = toy_speaker(max_length=90)
    with pytest.raises(ValueError, match="at least one token"):
        answer_likelihoods(vlm, ask("?"), [""])
    with pytest.raises(ValueError, match="the answer 60; this model has room for 90"):
        answer_likelihoods(vlm, ask("?"), ["x" * 60])
