"""Answers that begin and end at any time are those written alone, token for token."""

from __future__ import annotations

import random

import pytest
import torch
from tests.core.language.toy_models import speckled
from tests.core.language.toy_speaker import ask, toy_speaker

from mlcd.core.language import GenerationSettings, VisionLanguageModel
from mlcd.core.language.answer import Answer
from mlcd.core.language.answer_batch import AnswerBatch
from mlcd.core.language.generation import begin_answer
from mlcd.core.language.messages import Message
from mlcd.core.language.pictures import PictureFeatures
from mlcd.core.language.prompt import embed_prompt, read_prompt

QUESTIONS: list[list[Message]] = [
    ask("What?"),
    ask("What is on the table?", speckled(90, 30)),
    ask("Which is larger?", speckled(30, 70, seed=1), speckled(90, 30)),
    ask("A long story. " * 20, speckled(64, 64, seed=3)),
    ask("And?"),
]


def begin(
    batch: AnswerBatch, vlm: VisionLanguageModel, messages: list[Message], number: int = 16
) -> Answer:
    features = PictureFeatures(0)
    prompt = read_prompt(vlm, messages, (), features)
    answer = begin_answer(vlm, prompt, GenerationSettings(max_new_tokens=number))
    batch.add(embed_prompt(vlm, prompt, features), answer)
    return answer


def ids_alone(vlm: VisionLanguageModel, messages: list[Message], number: int = 16) -> list[int]:
    stream = vlm.stream(messages, max_new_tokens=number)
    assert "".join(stream)
    return stream.ids


@pytest.mark.parametrize("chunk", [20, 64, 4096])
def test_answers_that_begin_one_after_the_other_are_those_written_alone(chunk: int) -> None:
    vlm = toy_speaker(1)
    dice = random.Random(chunk)
    batch = AnswerBatch(vlm, chunk=chunk)
    lengths = [dice.randint(1, 30) for _ in range(12)]
    answers: list[Answer] = []
    most = 0
    while len(answers) < len(lengths) or len(batch):
        if len(answers) < len(lengths) and dice.random() < 0.3:
            question = QUESTIONS[len(answers) % len(QUESTIONS)]
            answers.append(begin(batch, vlm, question, lengths[len(answers)]))
        most = max(most, sum(written.answer.ending is None for written in batch.step()))
    assert most > 2  # they were written together
    for number, (answer, length) in enumerate(zip(answers, lengths, strict=True)):
        assert answer.ids == ids_alone(vlm, QUESTIONS[number % len(QUESTIONS)], length)


def test_pieces_joined_are_the_text_of_each_answer() -> None:
    vlm = toy_speaker(2)
    batch = AnswerBatch(vlm, chunk=50)
    texts = {id(begin(batch, vlm, question)): "" for question in QUESTIONS}
    while len(batch):
        for written in batch.step():
            texts[id(written.answer)] += written.piece
    expected = [vlm.generate(question, max_new_tokens=16) for question in QUESTIONS]
    assert list(texts.values()) == expected


def test_an_answer_given_up_leaves_the_others_as_they_are() -> None:
    vlm = toy_speaker(1)
    batch = AnswerBatch(vlm, chunk=40)
    answers = [begin(batch, vlm, question) for question in QUESTIONS]
    for _ in range(4):
        batch.step()
    answers[0].finish("cancelled")  # writing
    answers[4].finish("cancelled")  # its prompt is still to come
    while len(batch):
        batch.step()
    assert answers[4].ids == []
    for number in (1, 2, 3):
        assert answers[number].ids == ids_alone(vlm, QUESTIONS[number])


def test_memory_is_free_again_when_all_are_over() -> None:
    vlm = toy_speaker()
    batch = AnswerBatch(vlm)
    begin(batch, vlm, QUESTIONS[3], 2)
    while len(batch):
        batch.step()
    assert batch._seen.num_bytes > 0
    assert batch.step() == []
    assert batch._seen.num_bytes == 0


def test_numbers_that_are_none_end_one_answer_and_no_other() -> None:
    vlm = toy_speaker(1)
    batch = AnswerBatch(vlm)
    begin(batch, vlm, QUESTIONS[0])
    damaged = Answer(
        vlm.tokenizer,
        GenerationSettings(),
        ends=set(),
        stop=(),
        room=8,  # type: ignore[arg-type]
    )
    batch.add(torch.full((5, vlm.config.width), torch.nan), damaged)
    good, bad = batch.step()
    assert good.error is None
    assert "not numbers" in str(bad.error)
    assert damaged.ending == "cancelled"
    assert len(batch) == 1


def test_a_chunk_without_a_token_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 token, got 0"):
        AnswerBatch(toy_speaker(), chunk=0)
