"""Who leaves holds nothing, a full queue says so, and a server that stops loses no answer."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from tests.core.language.toy_models import speckled
from tests.core.language.toy_speaker import ask, toy_speaker
from tests.servers.toy_server import (
    Served,
    as_url,
    png,
    question,
    served,
    text_of,
    wait_until,
)

from mlcd.core.language import RemoteModel, VisionLanguageModel
from mlcd.servers.limits import Limits

LONG = 3500
"""Tokens of an answer that takes the toy model seconds."""
PICTURE = speckled(40, 50)


@pytest.fixture(scope="module")
def vlm() -> VisionLanguageModel:
    vlm = toy_speaker(1)
    assert len(vlm.generate(ask("A story?"), max_new_tokens=300)) > 100  # it does not end early
    return vlm


def is_idle(own: Served) -> bool:
    return own.health()["running"] == own.health()["waiting"] == 0


def test_a_client_that_leaves_a_stream_frees_its_slot_within_a_second(
    vlm: VisionLanguageModel,
) -> None:
    with served(vlm) as own:
        body = question("A story?", max_tokens=LONG, stream=True)
        url = f"{own.address}/v1/chat/completions"
        with httpx2.stream("POST", url, json=body, timeout=20) as response:
            lines = response.iter_lines()
            assert [next(lines) for _ in range(5)]
            assert own.health()["running"] == 1
        took_s = wait_until(lambda: is_idle(own), 1.0)
        assert took_s < 1.0
        assert own.service.metrics.requests == {499: 1}
        assert own.service.metrics.answer_tokens < LONG


def test_a_client_that_leaves_before_the_answer_frees_its_slot_within_a_second(
    vlm: VisionLanguageModel,
) -> None:
    with served(vlm) as own:
        url = f"{own.address}/v1/chat/completions"
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.post(url, json=question("A story?", max_tokens=LONG), timeout=0.5)
        wait_until(lambda: is_idle(own), 1.0)
        assert own.service.metrics.requests == {499: 1}


def test_a_client_that_leaves_the_queue_is_not_answered(vlm: VisionLanguageModel) -> None:
    with served(vlm, limits=Limits(max_batch=1)) as own:
        url = f"{own.address}/v1/chat/completions"
        with httpx2.stream(
            "POST", url, json=question("A story?", max_tokens=LONG, stream=True), timeout=20
        ) as first:
            lines = first.iter_lines()
            assert next(lines)
            with pytest.raises(httpx2.ReadTimeout):
                httpx2.post(url, json=question("And?"), timeout=0.3)
            wait_until(lambda: own.health()["waiting"] == 0, 1.0)
            assert own.health()["running"] == 1
        wait_until(lambda: is_idle(own), 1.0)
        assert own.service.metrics.requests == {499: 2}
        expected = vlm.generate(ask("Now?"), max_new_tokens=4)
        assert text_of(own.post(question("Now?", max_tokens=4))) == expected  # the slot is free


def test_closing_a_remote_answer_hangs_up(vlm: VisionLanguageModel) -> None:
    with served(vlm) as own, RemoteModel(own.address) as remote:
        answer = remote.stream(ask("A story?"), max_new_tokens=LONG)
        assert next(answer)
        answer.close()
        assert answer.ending == "cancelled"
        wait_until(lambda: is_idle(own), 1.0)
        pieces = 0

        def enough() -> bool:
            nonlocal pieces
            pieces += 1
            return pieces > 5

        text = remote.generate(ask("A story?"), max_new_tokens=LONG, cancel=enough)
        assert vlm.generate(ask("A story?"), max_new_tokens=40).startswith(text)
        wait_until(lambda: is_idle(own), 1.0)


def test_a_full_queue_says_so_and_a_remote_model_comes_back(vlm: VisionLanguageModel) -> None:
    limits = Limits(max_batch=1, max_waiting=1)
    with served(vlm, limits=limits) as own, RemoteModel(own.address, "toy") as remote:
        with ThreadPoolExecutor(2) as clients:
            futures = [
                clients.submit(remote.generate, ask(f"Story {number}?"), max_new_tokens=250)
                for number in range(2)
            ]
            wait_until(lambda: own.service.num_open == 2, 5)
            full = own.post(question("And me?"))
            assert full.status_code == 429
            assert full.headers["retry-after"] == "1"
            assert full.json()["error"]["code"] == "queue_full"
            third = remote.generate(ask("And me?"), max_new_tokens=6)
            texts = [future.result() for future in futures]
        assert third == vlm.generate(ask("And me?"), max_new_tokens=6)
        assert texts == [
            vlm.generate(ask(f"Story {number}?"), max_new_tokens=250) for number in range(2)
        ]


def test_answers_in_hand_are_finished_and_new_ones_refused_when_told_to_stop(
    vlm: VisionLanguageModel,
) -> None:
    with served(vlm, limits=Limits(max_batch=1)) as own:
        remote = RemoteModel(own.address, "toy")
        with ThreadPoolExecutor(2) as clients:
            written = clients.submit(remote.generate, ask("A story?"), max_new_tokens=400)
            wait_until(lambda: own.service.num_running == 1, 5)
            waiting = clients.submit(remote.generate, ask("Me too?"), max_new_tokens=9)
            wait_until(lambda: own.service.num_open == 2, 5)
            own.server.handle_exit(signal.SIGTERM, None)
            refused = own.post(question("And me?"))
            assert refused.status_code == 503
            assert "stopping" in refused.json()["error"]["message"]
            health = httpx2.get(f"{own.address}/health")
            assert (health.status_code, health.json()["status"]) == (503, "stopping")
            assert written.result(60) == vlm.generate(ask("A story?"), max_new_tokens=400)
            assert waiting.result(60) == vlm.generate(ask("Me too?"), max_new_tokens=9)
        own.thread.join(10)
        assert not own.thread.is_alive()
        assert own.said == ["stopping: 2 answers are finished first"]


def test_the_second_signal_gives_up_and_says_so_to_the_client(vlm: VisionLanguageModel) -> None:
    with served(vlm) as own:
        with ThreadPoolExecutor(1) as clients:
            future = clients.submit(own.post, question("A story?", max_tokens=LONG))
            wait_until(lambda: own.service.num_running == 1, 5)
            own.server.handle_exit(signal.SIGTERM, None)
            own.server.handle_exit(signal.SIGTERM, None)
            assert future.result(20).status_code == 503
        own.thread.join(10)
        assert not own.thread.is_alive()


def test_a_server_that_comes_again_is_found_by_who_asked_meanwhile(
    vlm: VisionLanguageModel,
) -> None:
    with served(vlm) as first:
        port = int(first.address.rpartition(":")[2])
        remote = RemoteModel(first.address, backoff_s=0.2)
        assert remote.name == "toy"
    found: list[str] = []
    thread = threading.Thread(
        target=lambda: found.append(remote.generate(ask("What?", PICTURE), max_new_tokens=9))
    )
    thread.start()
    time.sleep(0.5)
    assert not found
    with served(vlm, port=port):
        thread.join(20)
    assert found == [vlm.generate(ask("What?", PICTURE), max_new_tokens=9)]


def test_an_answer_broken_off_in_the_middle_is_an_error_and_not_a_short_answer(
    vlm: VisionLanguageModel,
) -> None:
    with served(vlm) as own, RemoteModel(own.address) as remote:
        answer = remote.stream(ask("A story?", PICTURE), max_new_tokens=LONG)
        assert next(answer)
        own.service.cancel_all()
        with pytest.raises(OSError, match="the answer broke off: the answer was given up"):
            list(answer)
        assert text_of(own.post(question("?", as_url(png(PICTURE)), max_tokens=3)))
