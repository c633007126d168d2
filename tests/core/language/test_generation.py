"""Answers: greedy ones are Transformers' and the same in all ways, streams are whole and stop."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.core.language.toy_models import speckled
from tests.core.language.toy_speaker import ask, toy_speaker
from tests.core.language.toy_tokenizer import byte_tokenizer

from mlcd.core.images import ImageError
from mlcd.core.language import GenerationSettings, VisionLanguageModel, generate_batch
from mlcd.core.language.messages import Message
from mlcd.core.language.templates import render
from mlcd.core.language.tiles import cut_images
from mlcd.core.language.tokens import decode_ids

WIDE, TALL, TINY = speckled(90, 30), speckled(30, 70, seed=1), speckled(5, 4, seed=2)

QUESTIONS: list[list[Message]] = [
    ask("What?"),
    ask("What is on the table?", WIDE),
    ask("Which is larger?", TALL, WIDE),
    [*ask("And?", TINY), {"role": "assistant", "content": "Yes."}, *ask("Why so?")],
]


def images_of(messages: list[Message]) -> list[Any]:
    parts = [
        part for message in messages if message["role"] == "user" for part in message["content"]
    ]
    return [part["image"] for part in parts if part["type"] == "image"]


@torch.no_grad()
def by_transformers(vlm: VisionLanguageModel, messages: list[Message], number: int) -> list[int]:
    """The ids of a greedy answer as Transformers generates it from the same embeddings."""
    assert vlm.tokenizer is not None
    ids = torch.tensor(render(messages, vlm.config.template, vlm.tokenizer))
    images = vlm.encode(cut_images(images_of(messages), vlm.config))
    tokens = vlm.embed(ids, images)[None]
    end = vlm.tokenizer.eos_token_id
    written: list[int] = vlm.language.generate(
        inputs_embeds=tokens,
        attention_mask=torch.ones(tokens.shape[:2], dtype=torch.int64),
        max_new_tokens=number,
        do_sample=False,
        eos_token_id=end,
        pad_token_id=end,
    )[0].tolist()
    return written[: written.index(end)] if end in written else written


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("messages", QUESTIONS)
def test_a_greedy_answer_is_that_of_transformers(messages: list[Message], seed: int) -> None:
    vlm = toy_speaker(seed)
    answer = vlm.stream(messages, max_new_tokens=24)
    text = "".join(answer)
    assert answer.ids == by_transformers(vlm, messages, 24)
    assert len(set(answer.ids)) > 3
    assert text == decode_ids(byte_tokenizer(), answer.ids)
    assert text == vlm.generate(messages, max_new_tokens=24)


@pytest.mark.parametrize("seed", range(3))
def test_answers_written_together_are_those_written_alone(seed: int) -> None:
    vlm = toy_speaker(seed)
    alone = [vlm.generate(messages, max_new_tokens=30) for messages in QUESTIONS]
    assert len(set(alone)) == len(alone)
    settings = GenerationSettings(max_new_tokens=30)
    assert generate_batch(vlm, QUESTIONS, settings=settings) == alone
    assert generate_batch(vlm, QUESTIONS[::-1] * 2, settings=settings) == alone[::-1] * 2
    assert generate_batch(vlm, []) == []


def test_answers_written_together_may_end_at_different_times() -> None:
    vlm = toy_speaker(seed=2)
    streams = [vlm.stream(messages, max_new_tokens=30) for messages in QUESTIONS]
    assert all(list(stream) for stream in streams)
    vlm.language.config.eos_token_id = [
        stream.ids[step] for step, stream in zip((8, 15, 21), streams, strict=False)
    ]
    settings = GenerationSettings(max_new_tokens=30)
    ended = [vlm.stream(messages, settings=settings) for messages in QUESTIONS]
    expected = ["".join(stream) for stream in ended]
    assert [len(stream.ids) for stream in ended] == [8, 15, 21, 22]
    assert generate_batch(vlm, QUESTIONS, settings=settings) == expected


def test_drawn_answers_depend_on_their_seed_alone() -> None:
    vlm = toy_speaker()
    settings = GenerationSettings(max_new_tokens=20, temperature=1.0, top_p=0.95, seed=3)
    alone = [vlm.generate(messages, settings=settings) for messages in QUESTIONS]
    assert alone == [vlm.generate(messages, settings=settings) for messages in QUESTIONS]
    assert generate_batch(vlm, QUESTIONS, settings=settings) == alone
    unseeded = GenerationSettings(max_new_tokens=20, temperature=1.0)
    assert len({vlm.generate(QUESTIONS[0], settings=unseeded) for _ in range(4)}) > 1


def test_an_answer_ends_for_a_reason() -> None:
    vlm = toy_speaker()
    whole = vlm.stream(QUESTIONS[1], max_new_tokens=20)
    text = "".join(whole)
    assert (whole.ending, len(whole.ids)) == ("length", 20)
    stopped = vlm.stream(
        QUESTIONS[1], settings=GenerationSettings(max_new_tokens=20, stop=(text[4:6], "never"))
    )
    assert "".join(stopped) == text[: text.index(text[4:6])]
    assert stopped.ending == "stop"
    vlm.language.config.eos_token_id = [whole.ids[7], 5000]
    ended = vlm.stream(QUESTIONS[1], max_new_tokens=20)
    assert "".join(ended) == decode_ids(byte_tokenizer(), ended.ids)
    assert ended.ids == whole.ids[: whole.ids.index(whole.ids[7])]
    assert ended.ending == "end"


def test_a_special_word_as_a_stop_text_stops_as_a_token() -> None:
    vlm = toy_speaker()
    before = vlm.stream(QUESTIONS[1], max_new_tokens=8)
    assert list(before)
    with torch.no_grad():  # where it wrote its sixth token it now writes <|im_start|>
        rows = [257, before.ids[5]]
        vlm.language.lm_head.weight[rows] = vlm.language.lm_head.weight[rows[::-1]]
    place = before.ids.index(before.ids[5])
    settings = GenerationSettings(max_new_tokens=8, stop=("<|im_start|>",))
    answer = vlm.stream(QUESTIONS[1], settings=settings)
    assert "".join(answer) == decode_ids(byte_tokenizer(), before.ids[:place])
    assert answer.ending == "end"


def test_nothing_is_computed_after_close_or_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlcd.core.language import generation

    passes: list[int] = []
    run = generation.run_decoder

    def counted(*arguments: Any) -> torch.Tensor:
        passes.append(1)
        return run(*arguments)

    monkeypatch.setattr(generation, "run_decoder", counted)
    vlm = toy_speaker()
    answer = vlm.stream(QUESTIONS[1], max_new_tokens=50)
    assert not passes  # pieces are computed when they are asked for
    next(answer)
    number = len(passes)
    answer.close()
    assert list(answer) == []
    assert (len(passes), answer.ending) == (number, "cancelled")
    passes.clear()
    cancelled = vlm.stream(QUESTIONS[1], max_new_tokens=50, cancel=lambda: len(passes) >= 4)
    text = "".join(cancelled)
    assert (len(passes), len(cancelled.ids), cancelled.ending) == (4, 4, "cancelled")
    assert text == decode_ids(byte_tokenizer(), cancelled.ids)
    passes.clear()
    assert vlm.generate(QUESTIONS[1], cancel=lambda: True) == ""
    assert generate_batch(vlm, QUESTIONS, cancel=lambda: len(passes) >= 2) != [""] * 4
    assert len(passes) == 2


def test_a_stream_leaves_the_callers_gradients_alone() -> None:
    answer = toy_speaker().stream(QUESTIONS[1], max_new_tokens=4)
    next(answer)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_a_question_that_is_too_long_is_told_the_limit() -> None:
    vlm = toy_speaker(max_length=500)
    with pytest.raises(ValueError, match=r"takes 10,\d\d\d tokens.* has room for 500, the answer"):
        vlm.stream(ask("a" * 10_000))
    needed = vlm.stream(ask("Well?", WIDE)).num_prompt_tokens
    full = toy_speaker(max_length=needed + 3)
    answer = full.stream(ask("Well?", WIDE))
    assert len(list(answer)) > 0
    assert (len(answer.ids), answer.ending) == (3, "length")
    with pytest.raises(ValueError, match=rf"takes {needed} tokens, \d+ of them for 1 pictures"):
        toy_speaker(max_length=needed).generate(ask("Well?", WIDE))


def test_the_decoders_positions_are_a_limit_too() -> None:
    vlm = toy_speaker()
    vlm.language.config.max_position_embeddings = 100
    with pytest.raises(ValueError, match="has room for 100, the answer included"):
        vlm.generate(ask("a" * 100))


def test_pictures_may_come_beside_the_messages() -> None:
    vlm = toy_speaker()
    content = [{"type": "image"}, {"type": "text", "text": "Which is larger?"}]
    messages = [{"role": "user", "content": [{"type": "image"}, *content]}]
    expected = vlm.generate(QUESTIONS[2], max_new_tokens=8)
    assert vlm.generate(messages, images=[TALL, WIDE], max_new_tokens=8) == expected
    with pytest.raises(ValueError, match="2 placeholders without a picture for 1 pictures"):
        vlm.generate(messages, images=[TALL])
    with pytest.raises(ValueError, match="2 placeholders without a picture for 3 pictures"):
        vlm.generate(messages, images=[TALL, WIDE, TINY])


def test_what_is_no_picture_or_no_tokenizer_is_named() -> None:
    vlm = toy_speaker()
    with pytest.raises(ImageError, match="the bytes given: not a JPEG"):
        vlm.generate(ask("What?", b"not a picture"))
    vlm.tokenizer = None
    with pytest.raises(ValueError, match="unnamed has no tokenizer, and questions are text"):
        vlm.generate(ask("What?"))


def test_damaged_weights_are_noticed() -> None:
    vlm = toy_speaker()
    with torch.no_grad():
        vlm.language.model.norm.weight[0] = float("nan")
    with pytest.raises(ValueError, match="logits are not numbers: its weights are damaged"):
        vlm.generate(QUESTIONS[0])


def test_a_stage_one_model_writes_a_caption_of_one_line() -> None:
    vlm = toy_speaker(template="plain", image_layout="square", pinpoints=(), merge="flat")
    content = [{"type": "image", "image": WIDE}]
    answer = vlm.stream([{"role": "user", "content": content}], max_new_tokens=30)
    assert answer.num_prompt_tokens == 16
    assert "\n" not in "".join(answer)
