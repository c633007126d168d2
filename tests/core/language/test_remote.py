"""A remote model is a local one far away: same answers, retries, errors that say what to do."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from tests.core.language.odd_server import Reply, completion, odd_server, stream_of
from tests.core.language.toy_models import speckled
from tests.core.language.toy_speaker import ask, toy_speaker
from tests.servers.toy_server import served

from mlcd.core.images import ImageError, ImageSource, read_image
from mlcd.core.language import GenerationSettings, RemoteModel
from mlcd.core.language.backend import LanguageBackend
from mlcd.core.language.remote_answer import RemoteError
from mlcd.core.language.remote_messages import data_url, to_openai

WIDE, TALL = speckled(90, 30), speckled(30, 70, seed=1)
MODELS = Reply(body=b'{"data": [{"id": "one"}]}')


def quick(address: str, model: str | None = "m", retries: int = 2) -> RemoteModel:
    return RemoteModel(address, model, retries=retries, backoff_s=0.01, timeout_s=5)


def test_remote_answers_are_the_local_ones() -> None:
    vlm = toy_speaker(1)
    drawn = GenerationSettings(max_new_tokens=15, temperature=0.8, top_p=0.9, seed=4)
    conversations = [
        ask("What?"),
        ask("Which is larger?", TALL, WIDE),
        [*ask("And?", WIDE), {"role": "assistant", "content": "Yes."}, *ask("Why?")],
    ]
    with served(vlm) as own, RemoteModel(own.address) as remote:
        backends: list[LanguageBackend] = [vlm, remote]
        for messages in conversations:
            for settings in (GenerationSettings(max_new_tokens=15), drawn):
                here, there = (own.generate(messages, settings=settings) for own in backends)
                assert here == there
                pieces = remote.stream(messages, settings=settings)
                assert "".join(pieces) == here
        open_parts = [
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "?"}]}
        ]
        here, there = (
            own.generate(open_parts, images=[WIDE], max_new_tokens=9) for own in backends
        )
        assert here == there
        assert remote.name == "toy"


def test_a_stream_says_at_its_end_what_it_took() -> None:
    vlm = toy_speaker(1)
    with served(vlm) as own, RemoteModel(own.address) as remote:
        answer = remote.stream(ask("What?", WIDE), max_new_tokens=12)
        assert (answer.ending, answer.num_tokens, answer.num_prompt_tokens) == (None, None, None)
        local = vlm.stream(ask("What?", WIDE), max_new_tokens=12)
        assert "".join(answer) == "".join(local)
        assert (answer.ending, answer.num_tokens) == ("length", 12)
        assert answer.num_prompt_tokens == local.num_prompt_tokens


def test_eight_threads_share_one_remote_model() -> None:
    vlm = toy_speaker(1)
    with served(vlm) as own, RemoteModel(own.address) as remote, ThreadPoolExecutor(8) as threads:
        questions = [ask(f"Number {number}?", speckled(40, 40, number)) for number in range(16)]
        found = list(threads.map(lambda own: remote.generate(own, max_new_tokens=12), questions))
    assert found == [vlm.generate(own, max_new_tokens=12) for own in questions]
    assert len(set(found)) > 8  # a toy does not see every difference


@pytest.mark.parametrize("picture_format", ["png", "jpeg"])
def test_pictures_of_every_source_travel(picture_format: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    PIL.Image.fromarray(WIDE).save(path)
    sources: list[ImageSource] = [path, str(path), path.read_bytes(), WIDE]
    urls = {data_url(own, picture_format=picture_format) for own in sources}  # type: ignore[arg-type]
    assert len(urls) == 1
    kind, data = urls.pop().split(",")
    assert kind == f"data:image/{picture_format};base64"
    image = read_image(base64.b64decode(data))
    if picture_format == "png":
        assert np.array_equal(image, WIDE)
    else:
        smooth = np.full((40, 60, 3), (200, 30, 30), np.uint8)
        back = read_image(base64.b64decode(data_url(smooth, picture_format="jpeg").split(",")[1]))
        assert np.abs(back.astype(int) - smooth).max() < 6


def test_a_picture_on_its_side_is_sent_upright() -> None:
    file = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.fromarray(WIDE).save(file, "PNG", exif=exif)
    sent = read_image(base64.b64decode(data_url(file.getvalue()).split(",")[1]))
    assert np.array_equal(sent, np.rot90(WIDE, -1))


def test_a_turn_without_a_picture_is_plain_text_and_order_is_kept() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]
    messages = [
        {
            "role": "system",
            "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "short."}],
        },
        {"role": "user", "content": parts},
    ]
    system, user = to_openai(messages, [WIDE])
    assert system == {"role": "system", "content": "Be short."}
    assert [part["type"] for part in user["content"]] == ["text", "image_url", "text"]


def test_nothing_is_sent_of_what_is_no_conversation_or_no_picture(tmp_path: Path) -> None:
    with odd_server(completion("A")) as (address, heard):
        for messages, error in (
            ([], ValueError),
            (ask("?", tmp_path / "missing.png"), ImageError),
            ([{"role": "user", "content": [{"type": "image"}]}], ValueError),
        ):
            with pytest.raises(error):
                quick(address).generate(messages)
        assert heard == []


def test_only_what_was_asked_for_is_sent_beyond_what_every_server_takes() -> None:
    with odd_server(completion("A")) as (address, heard):
        remote = RemoteModel(f"{address}/v1/", "m", api_key="word")
        assert remote.generate(ask("?"), max_new_tokens=7) == "A"
        settings = GenerationSettings(
            temperature=0.5, top_p=0.9, top_k=3, repetition_penalty=1.1, stop=("x",), seed=0
        )
        remote.generate(ask("?"), settings=settings)
    plain, full = heard
    assert plain.path == "/v1/chat/completions"
    assert plain.headers["authorization"] == "Bearer word"
    assert set(plain.body) == {"messages", "model", "max_tokens", "temperature"}
    assert (plain.body["max_tokens"], plain.body["temperature"]) == (7, 0)
    assert full.body["seed"] == 0
    assert full.body["stop"] == ["x"]
    assert {"top_p", "top_k", "repetition_penalty"} <= set(full.body)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_that_is_busy_or_fails_is_asked_again(status: int) -> None:
    with odd_server(Reply(status), Reply(status), completion("A")) as (address, heard):
        assert quick(address).generate(ask("?")) == "A"
    assert len(heard) == 3
    with odd_server(Reply(status, b'{"error": {"message": "too hot"}}')) as (address, heard):
        with pytest.raises(RemoteError, match=f"answers {status}: too hot") as caught:
            quick(address).generate(ask("?"))
        assert caught.value.status == status
        assert len(heard) == 3


def test_a_server_that_says_how_long_to_wait_is_left_alone_for_so_long() -> None:
    busy = Reply(429, headers=(("Retry-After", "1"),))
    with odd_server(busy, completion("A")) as (address, _):
        start_s = time.perf_counter()
        assert quick(address).generate(ask("?")) == "A"
        assert time.perf_counter() - start_s > 0.7


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_a_request_that_is_wrong_is_not_repeated(status: int) -> None:
    with odd_server(Reply(status, b'{"detail": "no such model"}')) as (address, heard):
        words = f"{address}/v1 answers {status}: no such model"
        with pytest.raises(RemoteError, match=words):
            quick(address).generate(ask("?"))
        with pytest.raises(RemoteError, match=words):
            list(quick(address).stream(ask("?")))
        assert len(heard) == 2


def test_nobody_there_is_said_with_the_address() -> None:
    with odd_server(completion("A")) as (address, _):
        pass
    with pytest.raises(RemoteError, match=rf"{address}/v1: no answer after 3 tries: .*running"):
        quick(address).generate(ask("?"))
    with pytest.raises(ValueError, match="expected http://HOST:PORT"):
        RemoteModel("localhost:8000")


def test_a_server_that_says_nothing_for_too_long_is_given_up() -> None:
    with odd_server(completion("A")._replace(delay_s=3)) as (address, heard):
        remote = RemoteModel(address, "m", timeout_s=0.3, retries=5)
        start_s = time.perf_counter()
        with pytest.raises(RemoteError, match="no answer after 1 tries"):
            remote.generate(ask("?"))
        assert time.perf_counter() - start_s < 2
        assert len(heard) == 1


@pytest.mark.parametrize(
    "nonsense", [b"<html>", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"message": 3}]}']
)
def test_nonsense_is_called_by_its_name(nonsense: bytes) -> None:
    with odd_server(Reply(body=nonsense)) as (address, heard):
        with pytest.raises(RemoteError, match=r"expected (JSON|a chat completion), got"):
            quick(address).generate(ask("?"))
        with pytest.raises(RemoteError, match="the middle of the answer"):
            list(quick(address).stream(ask("?")))
        assert len(heard) == 2


def test_streams_of_other_servers_are_read() -> None:
    with odd_server(stream_of("Gr", "ün ", "\u2028", "✓")) as (address, heard):
        answer = quick(address).stream(ask("?"))
        assert list(answer) == ["Gr", "ün ", "\u2028", "✓"]
        assert (answer.ending, answer.num_tokens) == ("length", None)
        assert heard[0].body["stream"] is True
    failing = Reply(body=b'data: {"error": "out of memory"}\n\n')
    with odd_server(failing) as (address, _), pytest.raises(RemoteError, match="out of memory"):
        list(quick(address).stream(ask("?")))
    damaged, words = Reply(body=b"data: oops\n\n"), "expected chunks of a chat completion, got oops"
    with odd_server(damaged) as (address, _), pytest.raises(RemoteError, match=words):
        list(quick(address).stream(ask("?")))


def test_a_stream_that_breaks_before_its_first_piece_begins_anew_and_later_does_not() -> None:
    with odd_server(Reply(claimed=10), stream_of("A", "B")) as (address, heard):
        assert "".join(quick(address).stream(ask("?"))) == "AB"
        assert len(heard) == 2
    with odd_server(stream_of("A", is_ended=False, claimed=10)) as (address, heard):
        answer = quick(address).stream(ask("?"))
        assert next(answer) == "A"
        with pytest.raises(RemoteError, match="the connection broke in the middle of the answer"):
            next(answer)
        assert len(heard) == 1
    short, words = stream_of("A", is_ended=False), "ended the stream in the middle"
    with odd_server(short) as (address, _), pytest.raises(RemoteError, match=words):
        list(quick(address).stream(ask("?")))


def test_the_only_model_is_found_and_several_have_to_be_chosen_from() -> None:
    with odd_server(MODELS, completion("A")) as (address, heard):
        remote = quick(address, None)
        assert remote.generate(ask("?")) == "A"
        assert [own.path for own in heard] == ["/v1/models", "/v1/chat/completions"]
        assert heard[1].body["model"] == "one"
    two = Reply(body=json.dumps({"data": [{"id": "a"}, {"id": "b"}]}).encode())
    with (
        odd_server(two) as (address, _),
        pytest.raises(ValueError, match=r"\(a, b\): give `model`"),
    ):
        quick(address, None).generate(ask("?"))


def test_asking_needs_no_torch(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from mlcd.core.language import GenerationSettings, RemoteModel\n"
        "remote = RemoteModel(sys.argv[2], 'm')\n"
        "question = [{'role': 'user', 'content': [{'type': 'image', 'image': sys.argv[1]}]}]\n"
        "print(remote.generate(question, settings=GenerationSettings(max_new_tokens=3)))\n"
        "print('torch' in sys.modules, 'transformers' in sys.modules)\n"
    )
    PIL.Image.fromarray(WIDE).save(tmp_path / "a.png")
    with odd_server(completion("A")) as (address, _):
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "a.png"), address],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    assert done.stdout.split() == ["A", "False", "False"]
