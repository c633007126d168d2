"""What is too much, forbidden or wrong is refused with a sentence that says what was expected."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from tests.core.language.toy_models import speckled
from tests.core.language.toy_speaker import ask, toy_speaker
from tests.servers.toy_server import Served, as_url, png, question, served, text_of

from mlcd.core.language import VisionLanguageModel
from mlcd.servers.limits import Limits
from mlcd.servers.picture_sources import PictureSources

PICTURE = speckled(40, 50)
URL = as_url(png(PICTURE))
LIMITS = Limits(
    max_body_bytes=2**20,
    max_pictures=8,
    max_pixels=5_000,
    max_new_tokens=100,
    body_timeout_s=1,
)


@pytest.fixture(scope="module")
def vlm() -> VisionLanguageModel:
    return toy_speaker(1)


@pytest.fixture(scope="module")
def toy(vlm: VisionLanguageModel) -> Iterator[Served]:
    with served(vlm, limits=LIMITS) as own:
        yield own
        assert own.health() == {"status": "ok", "model": "toy", "running": 0, "waiting": 0}


USER = {"role": "user", "content": "What?"}


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ([], 400, "Input should be an object, got []"),
        ({}, 400, "messages: Field required"),
        ({"messages": []}, 400, "at least 1 item"),
        ({"messages": [{"role": "usr", "content": "?"}]}, 400, "expected one of system"),
        ({"messages": [{"role": "user"}]}, 400, "content: expected a text or a list of parts"),
        ({"messages": [USER, {"role": "assistant", "content": "A"}]}, 400, "a user's message"),
        (question("?", temperature=3), 400, "temperature: Input should be less than or equal"),
        (question("?", top_p=0), 400, "top_p: Input should be greater than 0, got 0"),
        (question("?", max_tokens=0), 400, "max_tokens: Input should be greater"),
        (question("?", max_tokens=101), 400, "max_tokens: expected at most 100, got 101"),
        (question("?", stop=[""]), 400, "stop: expected at most 16 texts"),
        (question("?", seed=2**70), 400, "seed"),
        (question("?", n=2), 400, "n: this server does not do it, got 2"),
        (question("?", tools=[{"type": "function"}]), 400, "tools: this server does not"),
        (question("?", response_format={"type": "json_object"}), 400, "response_format"),
        (question("?", model="gpt-4"), 404, "no model 'gpt-4' here: expected 'toy'"),
        (question("long " * 1000), 400, "this model has room for 4,096"),
        (question("?", "data:image/png,abc"), 400, "expected data:image/png;base64"),
        (question("?", "data:image/png;base64,@@@"), 400, "not base64"),
        (question("?", as_url(b"GIF89a no")), 400, "picture 1: the bytes given"),
        (question("?", as_url(b"")), 400, "picture 1: the bytes given: empty"),
        (question("?", "photo.png"), 400, "absolute path of a file in an allowed folder"),
        (question("?", URL, URL, URL), 400, "picture 3: the bytes given: 40 x 50 is more"),
        (question("?", as_url(png(speckled(100, 51)))), 400, "5,000 pixels"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "image_url"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, 400, "expected parts"),
    ],
)
def test_what_is_not_as_expected_is_said(toy: Served, body: Any, status: int, words: str) -> None:
    response = toy.post(body)
    assert response.status_code == status
    error = response.json()["error"]
    assert words in error["message"]
    assert error["type"] == "invalid_request_error"
    assert set(error) == {"message", "type", "param", "code"}


def test_what_asks_for_nothing_or_changes_nothing_is_taken(toy: Served) -> None:
    body = question(
        "?", max_tokens=2, n=1, tools=[], logprobs=False, user="me", metadata={"a": "b"},
        frequency_penalty=0.0, response_format={"type": "text"}, temperature=None,
    )  # fmt: skip
    assert text_of(toy.post(body))


def test_other_addresses_types_and_methods_are_refused_in_the_same_form(toy: Served) -> None:
    chat = f"{toy.address}/v1/chat/completions"
    headers = {"Content-Type": "application/json"}
    for response, status in (
        (httpx2.get(f"{toy.address}/v1/nothing"), 404),
        (httpx2.get(chat), 405),
        (httpx2.post(chat, content=b"{}", headers={"Content-Type": "text/plain"}), 415),
        (httpx2.post(chat, content=b"{", headers=headers), 400),
        (
            httpx2.post(chat, content=b"[" * 99999, headers={"Content-Type": "application/json"}),
            400,
        ),
    ):
        assert response.status_code == status
        assert response.json()["error"]["message"]


def test_500_megabytes_are_refused_without_being_read(toy: Served) -> None:
    host, port = toy.address.removeprefix("http://").split(":")
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {500 * 2**20}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=5) as client:
        client.sendall(head.encode())  # and not a byte of the body
        said = b""
        while part := client.recv(4096):  # to the end: the server hangs up
            said += part
    assert said.startswith(b"HTTP/1.1 413")
    assert b"expected a request of at most 1,048,576 bytes, got 524,288,000" in said


def test_what_does_not_say_its_length_is_read_to_the_limit_alone(toy: Served) -> None:
    sent = 0

    def megabytes() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(500):
            sent += 2**20
            yield b" " * 2**20

    headers = {"Content-Type": "application/json"}
    try:
        response = httpx2.post(
            f"{toy.address}/v1/chat/completions", content=megabytes(), headers=headers, timeout=20
        )
        assert response.status_code == 413
    except httpx2.ReadError:  # it hung up while we were writing, which may hide the answer
        pass
    assert sent < 30 * 2**20  # the limit, and what the system keeps on the way


def test_10000_pictures_are_counted_and_none_is_decoded(toy: Served) -> None:
    body = question("?", *["data:image/png;base64,AA"] * 10_000)
    response = toy.post(body)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "too_many_pictures"
    assert "10,000 pictures: expected at most 8" in response.json()["error"]["message"]


def test_a_request_that_does_not_arrive_is_not_waited_for(toy: Served) -> None:
    host, port = toy.address.removeprefix("http://").split(":")
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "Content-Length: 1000\r\n\r\n{"
    )
    start_s = time.perf_counter()
    with socket.create_connection((host, int(port)), timeout=5) as client:
        client.sendall(head.encode())
        assert b" 408 " in client.recv(4096)
    assert time.perf_counter() - start_s < 4


def test_files_are_read_inside_the_allowed_folders_alone(
    vlm: VisionLanguageModel, tmp_path: Path
) -> None:
    inside, beside = tmp_path / "inside", tmp_path / "inside too"
    for folder in (inside, beside):
        folder.mkdir()
        (folder / "a b.png").write_bytes(png(PICTURE))
    (inside / "link.png").symlink_to(beside / "a b.png")
    (inside / "within.png").symlink_to(inside / "a b.png")
    (inside / "folder").symlink_to(beside)
    (inside / "circle").symlink_to(inside / "circle")
    expected = vlm.generate(ask("What?", PICTURE), max_new_tokens=5)
    with served(vlm, folders=[inside]) as own:
        for path in (
            str(inside / "a b.png"),
            f"file://{quote(str(inside / 'a b.png'))}",
            str(inside / "within.png"),
            f"{inside}/../inside/a b.png",
        ):
            assert text_of(own.post(question("What?", path, max_tokens=5))) == expected, path
        for path in (
            str(beside / "a b.png"),
            f"{inside}/../inside too/a b.png",
            f"file://{quote(str(inside))}/%2e%2e/inside%20too/a%20b.png",
            str(inside / "link.png"),
            str(inside / "folder" / "a b.png"),
            str(tmp_path / "missing.png"),
            "/etc/passwd",
            "/",
            f"{inside}/a\0.png",
            str(inside / "circle"),
        ):
            response = own.post(question("What?", path))
            assert response.status_code in (400, 403), path
            assert "is in no folder" in response.json()["error"]["message"], path
        missing = own.post(question("What?", str(inside / "missing.png")))
        assert missing.status_code == 400
        assert "no such file" in missing.json()["error"]["message"]
        elsewhere = own.post(question("What?", "file://other/a.png"))
        assert "got the host 'other'" in elsewhere.json()["error"]["message"]


def test_a_folder_to_allow_has_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: expected a folder"):
        PictureSources(folders=[tmp_path / "nowhere"])


class Pictures(BaseHTTPRequestHandler):
    """A web server of three addresses."""

    asked: list[str] = []  # noqa: RUF012 - shared by all requests

    def do_GET(self) -> None:
        self.asked.append(self.path)
        status, data = {
            "/picture.png": (200, png(PICTURE)),
            "/large.png": (200, b"x" * (2**20 + 1)),
            "/moved.png": (302, b""),
        }.get(self.path, (404, b""))
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/picture.png")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        pass


def test_addresses_are_fetched_from_allowed_hosts_alone(vlm: VisionLanguageModel) -> None:
    with HTTPServer(("127.0.0.1", 0), Pictures) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{web.server_address[1]}"
        with served(vlm, limits=Limits(max_body_bytes=2**20)) as own:
            refused = own.post(question("What?", f"http://{host}/picture.png"))
            assert refused.status_code == 403
            assert f"fetches no pictures from '{host}'" in refused.json()["error"]["message"]
            assert Pictures.asked == []
        with served(vlm, limits=Limits(max_body_bytes=2**20), hosts=[host]) as own:
            fetched = own.post(question("What?", f"http://{host}/picture.png", max_tokens=5))
            assert text_of(fetched) == vlm.generate(ask("What?", PICTURE), max_new_tokens=5)
            for path, status, words in (
                ("large.png", 413, "at most 1,048,576 bytes"),
                ("moved.png", 400, "got 302"),
                ("none.png", 400, "got 404"),
            ):
                response = own.post(question("What?", f"http://{host}/{path}"))
                assert response.status_code == status
                assert words in response.json()["error"]["message"]
            other = own.post(question("What?", f"http://{host}@localhost:1/picture.png"))
            assert other.status_code == 403
        web.shutdown()
    assert Pictures.asked == ["/picture.png", "/large.png", "/moved.png", "/none.png"]


def test_limits_have_to_be_possible() -> None:
    with pytest.raises(ValueError, match="max_batch: expected at least 1, got 0"):
        Limits(max_batch=0)
