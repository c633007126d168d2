"""What clients of OpenAI's chat completions get: the model's own answers, in the form they read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
import torch
from tests.core.language.toy_models import speckled
from tests.core.language.toy_speaker import ask, toy_speaker
from tests.servers.toy_server import Served, as_url, png, question, served, text_of

from mlcd.core.language import GenerationSettings, VisionLanguageModel
from mlcd.servers.app import create_app

PICTURES = [speckled(40 + 9 * number, 50, seed=number) for number in range(4)]
URLS = [as_url(png(picture)) for picture in PICTURES]


@pytest.fixture(scope="module")
def vlm() -> VisionLanguageModel:
    return toy_speaker(1)


@pytest.fixture(scope="module")
def toy(vlm: VisionLanguageModel) -> Iterator[Served]:
    with served(vlm) as own:
        yield own


def chunks_of(response: httpx2.Response) -> list[dict[str, Any]]:
    events = response.text.split("\n\n")
    assert all(event.startswith("data: ") for event in events[:-1])
    assert events[-2:] == ["data: [DONE]", ""]
    return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]


def test_an_answer_is_the_models_own(toy: Served, vlm: VisionLanguageModel) -> None:
    response = toy.post(question("What is this?", URLS[0], model="toy", max_tokens=20))
    expected = vlm.stream(ask("What is this?", PICTURES[0]), max_new_tokens=20)
    assert text_of(response) == "".join(expected)
    document = response.json()
    assert document["object"] == "chat.completion"
    assert document["model"] == "toy"
    assert document["choices"][0]["finish_reason"] == "length"
    assert document["choices"][0]["message"]["role"] == "assistant"
    assert document["usage"] == {
        "prompt_tokens": expected.num_prompt_tokens,
        "completion_tokens": 20,
        "total_tokens": expected.num_prompt_tokens + 20,
    }


def test_a_stream_joined_is_the_same_answer(toy: Served) -> None:
    whole = toy.post(question("And this?", URLS[1], max_completion_tokens=20))
    streamed = toy.post(
        question(
            "And this?",
            URLS[1],
            max_tokens=20,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert streamed.headers["content-type"].startswith("text/event-stream")
    *chunks, last, usage = chunks_of(streamed)
    assert len({chunk["id"] for chunk in (*chunks, last, usage)}) == 1
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks) == text_of(whole)
    assert len(chunks) > 10
    assert last["choices"] == [{"index": 0, "delta": {}, "finish_reason": "length"}]
    assert usage["choices"] == []
    assert usage["usage"] == whole.json()["usage"]


def test_a_stream_without_the_option_has_no_counts(toy: Served) -> None:
    chunks = chunks_of(toy.post(question("What?", max_tokens=3, stream=True)))
    assert all("usage" not in chunk for chunk in chunks)


def test_settings_do_what_they_do_in_the_model(toy: Served, vlm: VisionLanguageModel) -> None:
    drawn = question("What?", max_tokens=20, temperature=1.0, top_p=0.9, top_k=40, seed=5)
    settings = GenerationSettings(max_new_tokens=20, temperature=1.0, top_p=0.9, top_k=40, seed=5)
    assert text_of(toy.post(drawn)) == vlm.generate(ask("What?"), settings=settings)
    greedy = vlm.generate(ask("What?"), max_new_tokens=20)
    stopped = toy.post(question("What?", max_tokens=20, stop=greedy[5:7]))
    assert text_of(stopped) == greedy[: greedy.index(greedy[5:7])]
    assert stopped.json()["choices"][0]["finish_reason"] == "stop"


def test_a_conversation_with_turns_and_a_developer_is_read(
    toy: Served, vlm: VisionLanguageModel
) -> None:
    turns = [
        *question("What?", URLS[0])["messages"],
        {"role": "assistant", "content": "A cup."},
        {"role": "user", "content": "Which colour?"},
    ]
    body = {"messages": [{"role": "developer", "content": "Be short."}, *turns], "max_tokens": 12}
    messages = [
        {"role": "system", "content": "Be short."},
        *ask("What?", PICTURES[0]),
        *turns[1:],
    ]
    assert text_of(toy.post(body)) == vlm.generate(messages, max_new_tokens=12)


def test_many_clients_at_once_get_their_own_answers(toy: Served, vlm: VisionLanguageModel) -> None:
    asked = [(f"Number {number}?", number % 4, 10 + 3 * number) for number in range(24)]
    alone = [
        vlm.generate(ask(text, PICTURES[picture]), max_new_tokens=most)
        for text, picture, most in asked
    ]
    assert len(set(alone)) == len(alone)
    steps, tokens = toy.service.engine.num_steps, toy.service.engine.num_tokens

    def client(number: int) -> str:
        text, picture, most = asked[number]
        body = question(text, URLS[picture], max_tokens=most, stream=number % 2 == 0)
        response = toy.post(body)
        if number % 2:
            return text_of(response)
        chunks = chunks_of(response)[:-1]
        return "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks)

    with ThreadPoolExecutor(8) as clients:
        assert list(clients.map(client, range(len(asked)))) == alone
    engine = toy.service.engine
    together = (engine.num_tokens - tokens) / (engine.num_steps - steps)
    assert together > 1.5  # tokens a pass: they were written together


def test_models_and_health_say_what_is_served(toy: Served) -> None:
    models = httpx2.get(f"{toy.address}/v1/models").json()
    assert [own["id"] for own in models["data"]] == ["toy"]
    assert toy.health() == {"status": "ok", "model": "toy", "running": 0, "waiting": 0}
    schema = httpx2.get(f"{toy.address}/openapi.json").json()
    body = schema["paths"]["/v1/chat/completions"]["post"]["requestBody"]
    assert "messages" in body["content"]["application/json"]["schema"]["properties"]


def test_metrics_are_what_prometheus_reads_and_count_requests(toy: Served) -> None:
    def numbers() -> dict[str, float]:
        text = httpx2.get(f"{toy.address}/metrics").text
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        pattern = re.compile(r'[a-z_]+(\{(le|status)="[^"]+"\})? [0-9.e+-]+')
        assert all(pattern.fullmatch(line) for line in lines)
        return {name: float(value) for name, value in (line.split(" ") for line in lines)}

    before = numbers()
    toy.post(question("What?", URLS[0], max_tokens=7))
    toy.post(question("What?", max_tokens=-1))
    after = numbers()
    rows: list[tuple[str, float]] = [
        ('mlcd_requests_total{status="200"}', 1),
        ('mlcd_requests_total{status="400"}', 1),
        ("mlcd_answer_tokens_total", 7),
        ("mlcd_pictures_total", 1),
        ("mlcd_first_token_seconds_count", 1),
        ('mlcd_answer_seconds_bucket{le="+Inf"}', 1),
    ]
    for name, difference in rows:
        assert after[name] - before.get(name, 0) == difference, name


def test_numbers_that_are_none_fail_one_answer_and_the_server_goes_on() -> None:
    vlm = toy_speaker(1)
    right = vlm.language.lm_head.weight.detach().clone()
    with served(vlm) as own:
        with torch.no_grad():
            vlm.language.lm_head.weight.fill_(torch.nan)
        for is_stream in (False, True):
            failed = own.post(question("What?", stream=is_stream))
            assert failed.status_code == 500
            assert "logits are not numbers" in failed.json()["error"]["message"]
        with torch.no_grad():
            vlm.language.lm_head.weight.copy_(right)
        assert text_of(own.post(question("What?", max_tokens=5)))
        assert own.health()["running"] == 0


def test_a_step_that_fails_loses_its_answers_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vlm = toy_speaker(1)
    with served(vlm) as own:
        layer = vlm.language.model.layers[0].mlp
        with monkeypatch.context() as patch:
            patch.delattr(layer, "down_proj")  # any surprise: memory that is full, say
            failed = own.post(question("What?"))
        assert failed.status_code == 500
        assert failed.json()["error"]["type"] == "server_error"
        expected = vlm.generate(ask("What?"), max_new_tokens=5)
        assert text_of(own.post(question("What?", max_tokens=5))) == expected
        assert own.health()["running"] == 0


def test_other_names_for_this_machine_are_not_answered(toy: Served) -> None:
    app = create_app(toy.service, hosts=("localhost", "127.0.0.1"))

    async def status(host: str) -> int:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            return (await client.get("/health")).status_code

    import asyncio

    assert asyncio.run(status("localhost:8000")) == 200
    assert asyncio.run(status("rebound.example")) == 400
