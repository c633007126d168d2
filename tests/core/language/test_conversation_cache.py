"""With what was kept, answers are the same and sooner; what is kept stays within its limit."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch
from tests.core.language.toy_models import speckled
from tests.core.language.toy_speaker import ask, toy_speaker
from torch import Tensor

from mlcd.core.language import (
    ConversationCache,
    GenerationSettings,
    VisionLanguageModel,
    generate_batch,
    generation,
)
from mlcd.core.language.messages import Message

WIDE, TALL = speckled(90, 30), speckled(30, 70, seed=1)
TILES = 4
"""Of the wide one, the base among them."""


class Work:
    """Counts what a model computes."""

    def __init__(self, vlm: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.prefills: list[int] = []
        self.tiles: list[int] = []
        run, look = generation.run_decoder, vlm.tower.hidden_state

        def counted_run(language: Any, tokens: Tensor, counts: list[int], seen: Any) -> Tensor:
            if max(counts) > 1:
                self.prefills.append(sum(counts))
            return run(language, tokens, counts, seen)

        def counted_look(pixels: Tensor, layer: int) -> Tensor:
            self.tiles.append(len(pixels))
            return look(pixels, layer)

        monkeypatch.setattr(generation, "run_decoder", counted_run)
        monkeypatch.setattr(vlm.tower, "hidden_state", counted_look)


def talk(
    vlm: VisionLanguageModel,
    questions: list[list[Message]],
    cache: ConversationCache | None,
    number: int = 9,
) -> list[str]:
    """The answers of one conversation in which every question follows the answer before it."""
    messages: list[Message] = []
    answers: list[str] = []
    for question in questions:
        messages += question
        answers.append(vlm.generate(messages, cache=cache, max_new_tokens=number))
        messages.append({"role": "assistant", "content": answers[-1]})
    return answers


CONVERSATIONS = [
    [ask("What is this?", WIDE), ask("And why?"), ask("Where?")],
    [ask("Hello?"), ask("What is this?", WIDE), ask("And this?", TALL), ask("Which?")],
    [ask("Which is larger?", TALL, WIDE), ask("Sure?"), ask("And this?", TALL)],
]


@pytest.mark.parametrize("limit", [2**30, 60_000, 20_000, 0])
@pytest.mark.parametrize("number", range(3))
def test_answers_are_those_of_a_fresh_run(number: int, limit: int) -> None:
    vlm, cache = toy_speaker(seed=number), ConversationCache(limit)
    expected = talk(vlm, CONVERSATIONS[number], None)
    assert talk(vlm, CONVERSATIONS[number], cache) == expected
    assert cache.num_bytes <= limit
    other = CONVERSATIONS[number - 1]
    assert talk(vlm, other, cache) == talk(vlm, other, None)


def test_a_picture_is_encoded_once_and_only_new_tokens_are_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vlm, cache = toy_speaker(), ConversationCache()
    work = Work(vlm, monkeypatch)
    first, second, *_ = CONVERSATIONS[0]
    answer = vlm.stream(first, cache=cache, max_new_tokens=5)
    text = "".join(answer)
    assert work.tiles == [TILES]
    assert work.prefills == [answer.num_prompt_tokens]
    messages = [*first, {"role": "assistant", "content": text}, *second]
    following = vlm.stream(messages, cache=cache, max_new_tokens=5)
    assert list(following)
    assert work.tiles == [TILES]
    new = following.num_prompt_tokens - answer.num_prompt_tokens
    assert work.prefills[1] <= new < 60
    assert cache.num_tokens == following.num_prompt_tokens + 4  # the last token was never looked at


def test_the_same_question_again_computes_one_token(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm, cache = toy_speaker(), ConversationCache()
    answers = [vlm.generate(CONVERSATIONS[0][0], cache=cache, max_new_tokens=5)]
    work = Work(vlm, monkeypatch)
    answers.append(vlm.generate(CONVERSATIONS[0][0], cache=cache, max_new_tokens=5))
    assert (work.tiles, work.prefills) == ([], [])
    assert answers[0] == answers[1]


def test_a_picture_is_known_again_in_another_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm, cache = toy_speaker(), ConversationCache()
    work = Work(vlm, monkeypatch)
    vlm.generate(ask("What?", WIDE), cache=cache, max_new_tokens=2)
    system: Message = {"role": "system", "content": "Be brief."}
    vlm.generate([system, *ask("What?", WIDE.copy())], cache=cache, max_new_tokens=2)
    assert work.tiles == [TILES]
    vlm.generate(ask("What?", WIDE, TALL), cache=cache, max_new_tokens=2)
    assert work.tiles == [TILES, 2]  # two pictures are padded to a tile each, so both are new


def test_in_a_batch_a_picture_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm, cache = toy_speaker(), ConversationCache()
    work = Work(vlm, monkeypatch)
    questions = [ask("What?", WIDE), ask("Why?", WIDE), ask("Where?", TALL), ask("When?", WIDE)]
    generate_batch(vlm, questions, cache=cache, settings=GenerationSettings(max_new_tokens=2))
    assert work.tiles == [4 + 5]
    generate_batch(vlm, questions, cache=cache, settings=GenerationSettings(max_new_tokens=2))
    assert work.tiles == [4 + 5]


def test_what_is_kept_stays_within_the_limit() -> None:
    vlm = toy_speaker()
    wide = ConversationCache()
    vlm.generate(ask("What is this?", WIDE), cache=wide, max_new_tokens=5)
    features, whole = wide.features.num_bytes, wide.num_bytes
    assert 0 < features < whole
    length = wide.num_tokens
    half = ConversationCache(features + (whole - features) // 4)
    vlm.generate(ask("What is this?", WIDE), cache=half, max_new_tokens=5)
    assert half.features.num_bytes == features  # pictures first
    assert 0 < half.num_tokens < length
    small = ConversationCache(features - 1)
    vlm.generate(ask("What is this?", WIDE), cache=small, max_new_tokens=5)
    assert small.features.num_bytes == 0
    assert 0 < small.num_bytes <= features - 1


def test_the_picture_used_last_is_kept_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = toy_speaker()
    probe = ConversationCache()
    vlm.generate(ask("What?", WIDE), cache=probe, max_new_tokens=1)
    vlm.generate(ask("What?", TALL), cache=probe, max_new_tokens=1)
    cache = ConversationCache(probe.features.num_bytes)
    work = Work(vlm, monkeypatch)
    for image in (WIDE, TALL, WIDE, speckled(20, 20), WIDE, TALL):
        vlm.generate(ask("What?", image), cache=cache, max_new_tokens=1)
    assert len(work.tiles) == 4  # WIDE, TALL, the third, and TALL again


def test_what_was_begun_and_closed_is_kept_too(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm, cache = toy_speaker(), ConversationCache()
    question = ask("What is this?", WIDE)
    answer = vlm.stream(question, cache=cache)
    next(answer)
    answer.close()
    kept = cache.num_tokens
    assert kept >= answer.num_prompt_tokens
    forgotten = vlm.stream(question, cache=cache)
    next(forgotten)
    del forgotten
    gc.collect()
    assert cache.num_tokens >= kept
    assert vlm.generate(question, cache=cache, max_new_tokens=9) == vlm.generate(
        question, max_new_tokens=9
    )


def test_two_answers_at_once_with_one_cache_are_right() -> None:
    vlm, cache = toy_speaker(), ConversationCache()
    first = vlm.stream(ask("What?", WIDE), cache=cache, max_new_tokens=9)
    second = vlm.stream(ask("Why?", WIDE), cache=cache, max_new_tokens=9)
    texts = ["", ""]
    for pieces in zip(first, second, strict=False):
        texts = [text + piece for text, piece in zip(texts, pieces, strict=True)]
    texts = [text + "".join(rest) for text, rest in zip(texts, (first, second), strict=True)]
    expected = [vlm.generate(ask(text, WIDE), max_new_tokens=9) for text in ("What?", "Why?")]
    assert texts == expected


def test_a_cache_is_for_one_model_and_can_be_cleared() -> None:
    cache = ConversationCache()
    vlm = toy_speaker()
    vlm.generate(ask("What?", WIDE), cache=cache, max_new_tokens=2)
    with pytest.raises(ValueError, match="holds what another model has seen"):
        toy_speaker(1).generate(ask("What?"), cache=cache)
    cache.clear()
    assert (cache.num_bytes, cache.num_tokens) == (0, 0)
    with torch.no_grad():
        vlm.projector[0].weight.mul_(2)
    question = ask("What?", WIDE)
    expected = vlm.generate(question, max_new_tokens=9)
    assert vlm.generate(question, cache=cache, max_new_tokens=9) == expected
    with pytest.raises(ValueError, match="memory_limit_bytes: expected 0 or more, got -1"):
        ConversationCache(-1)
