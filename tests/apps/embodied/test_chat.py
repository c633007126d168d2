"""A conversation is one call with all that was said, and its pictures are looked at once."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apps.embodied.looks import count_looks
from tests.core.language.odd_server import odd_server, stream_of
from tests.core.language.toy_models import speckled
from tests.core.language.toy_speaker import toy_speaker
from tests.servers.toy_server import served

from mlcd.apps.embodied import Assistant
from mlcd.core.images import ImageError
from mlcd.core.language import RemoteModel
from mlcd.core.language.messages import Message
from mlcd.core.language.remote_answer import RemoteError

CUP, MUG, BOWL = (speckled(40, 30, seed) for seed in range(3))
TURNS: list[tuple[str, list[Any]]] = [
    ("What is it?", [CUP, MUG]),
    ("Which is larger?", []),
    ("And this?", [BOWL]),
    ("Why?", []),
]


def turn(question: str, frames: list[Any], answer: str | None = None) -> list[Message]:
    parts = [{"type": "image", "image": own} for own in frames]
    asked = {"role": "user", "content": [*parts, {"type": "text", "text": question}]}
    return [asked] if answer is None else [asked, {"role": "assistant", "content": answer}]


def test_answers_are_those_of_a_single_call_with_the_whole_history() -> None:
    vlm = toy_speaker(1)
    chat = Assistant(vlm).chat()
    history: list[Message] = []
    for question, frames in TURNS:
        answer = chat.ask(question, frames, max_new_tokens=10)
        assert answer.text == vlm.generate([*history, *turn(question, frames)], max_new_tokens=10)
        assert [own.image for own in answer.frames] == frames
        history += turn(question, frames, answer.text)
    assert chat.messages == history
    assert [own.image for own in chat.frames] == [CUP, MUG, BOWL]


def test_the_second_question_looks_at_no_picture_again() -> None:
    vlm = toy_speaker(1)
    looked = count_looks(vlm)
    chat = Assistant(vlm).chat()
    chat.ask("What is it?", [CUP, MUG], max_new_tokens=6)
    assert len(looked) == 1
    for question in ("Which is larger?", "Why?"):
        chat.ask(question, max_new_tokens=6)
    assert len(looked) == 1


def test_a_server_holds_the_same_conversation() -> None:
    vlm = toy_speaker(1)
    here = Assistant(vlm).chat()
    said = [here.ask(*own, max_new_tokens=10).text for own in TURNS]
    with served(vlm) as own, RemoteModel(own.address) as remote:
        looked = count_looks(vlm)
        there = Assistant(remote).chat()
        assert [there.ask(*own, max_new_tokens=10).text for own in TURNS] == said
        # a third picture is no news to the second: the server keeps what it saw
        assert sum(looked) == 3


def test_two_chats_know_nothing_of_each_other() -> None:
    assistant = Assistant(toy_speaker(1))
    one, other = assistant.chat(), assistant.chat()
    one.ask("What is it?", [CUP], max_new_tokens=6)
    assert other.messages == []
    first = other.ask("What is it?", [MUG], max_new_tokens=6).text
    assert first == assistant.ask([MUG], "What is it?", max_new_tokens=6).text


def test_after_a_reset_nothing_was_said() -> None:
    chat = Assistant(toy_speaker(1)).chat()
    first = chat.ask("What is it?", [CUP], max_new_tokens=6).text
    chat.ask("Why?", max_new_tokens=6)
    chat.reset()
    assert (chat.messages, chat.frames) == ([], [])
    assert chat.ask("What is it?", [CUP], max_new_tokens=6).text == first


def test_an_answer_that_was_stopped_stays_as_far_as_it_was_written() -> None:
    vlm = toy_speaker(1)
    chat = Assistant(vlm).chat()
    reply = chat.stream("What is it?", [CUP], max_new_tokens=30)
    begun = next(reply)
    reply.close()
    assert chat.messages == turn("What is it?", [CUP], begun)
    following = chat.ask("Why?", max_new_tokens=8).text
    history = [*turn("What is it?", [CUP], begun), *turn("Why?", [])]
    assert following == vlm.generate(history, max_new_tokens=8)


def test_a_new_question_closes_the_answer_that_is_open() -> None:
    chat = Assistant(toy_speaker(1)).chat()
    reply = chat.stream("What is it?", [CUP], max_new_tokens=30)
    begun = next(reply)
    chat.ask("Why?", max_new_tokens=4)
    assert chat.messages[:2] == turn("What is it?", [CUP], begun)
    assert reply.answer is not None


def test_a_question_of_which_nothing_was_written_was_not_asked() -> None:
    chat = Assistant(toy_speaker(1)).chat()
    chat.stream("What is it?", [CUP]).close()
    assert (chat.messages, chat.frames) == ([], [])


def test_an_interrupt_within_the_decoder_leaves_a_conversation_that_goes_on() -> None:
    vlm = toy_speaker(1)
    chat = Assistant(vlm).chat()
    reply = chat.stream("What is it?", [CUP], max_new_tokens=30)
    pieces = [next(reply), next(reply)]

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    hook = vlm.language.model.layers[1].mlp.down_proj.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        reply.read()
    hook.remove()
    reply.close()
    assert chat.messages == turn("What is it?", [CUP], "".join(pieces))
    following = chat.ask("Why?", max_new_tokens=8).text
    assert following == vlm.generate([*chat.messages[:2], *turn("Why?", [])], max_new_tokens=8)


def test_what_goes_wrong_leaves_the_conversation_as_it_was() -> None:
    chat = Assistant(toy_speaker(1, max_length=400)).chat()
    chat.ask("What is it?", [CUP], max_new_tokens=4)
    before = chat.messages
    with pytest.raises(ImageError, match="no such file"):
        chat.ask("And this?", ["gone.png"])
    with pytest.raises(ValueError, match="expected a question"):
        chat.ask("")
    with pytest.raises(ValueError, match="room for 400"):
        chat.ask("Why? " * 100)
    assert chat.messages == before
    assert chat.ask("Why?", max_new_tokens=4).num_tokens == 4


def test_a_server_that_breaks_off_can_be_asked_again() -> None:
    half = stream_of("The c", is_ended=False)
    with odd_server(half, stream_of("A cup.")) as (address, _):
        chat = Assistant(RemoteModel(address, "m", retries=0, timeout_s=5)).chat()
        with pytest.raises(RemoteError):
            chat.ask("What is it?", [CUP])
        assert chat.messages == []
        assert chat.ask("What is it?", [CUP]).text == "A cup."
        assert len(chat.messages) == 2


def test_words_alone_need_no_picture() -> None:
    vlm = toy_speaker(1)
    said = Assistant(vlm).chat().ask("Hello", max_new_tokens=6).text
    assert said == vlm.generate(turn("Hello", []), max_new_tokens=6)
