"""A real server on the loopback address, in a thread, that ends with the test."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import PIL.Image

from mlcd.core.images import Image
from mlcd.core.language import VisionLanguageModel
from mlcd.servers.app import create_app
from mlcd.servers.chat_service import ChatService
from mlcd.servers.limits import Limits
from mlcd.servers.picture_sources import PictureSources
from mlcd.servers.running import GracefulServer, bind


class Served(NamedTuple):
    """A server and what a test looks at."""

    address: str
    service: ChatService
    server: GracefulServer
    thread: threading.Thread
    said: list[str]

    def post(self, body: Any, **options: Any) -> httpx2.Response:
        return httpx2.post(f"{self.address}/v1/chat/completions", json=body, timeout=60, **options)

    def health(self) -> dict[str, Any]:
        document: dict[str, Any] = httpx2.get(f"{self.address}/health", timeout=10).json()
        return document


@contextmanager
def served(
    vlm: VisionLanguageModel,
    *,
    limits: Limits | None = None,
    folders: Sequence[Path] = (),
    hosts: Sequence[str] = (),
    port: int = 0,
) -> Iterator[Served]:
    """Serve `vlm` as `toy` while the block runs; what is still written after it is given up."""
    limits = limits or Limits()
    sources = PictureSources(folders=folders, hosts=hosts, max_bytes=limits.max_body_bytes)
    service = ChatService(vlm, name="toy", limits=limits, sources=sources)
    said: list[str] = []
    with bind("127.0.0.1", port) as own:
        server = GracefulServer(create_app(service), service, said.append)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [own]}, daemon=True)
        thread.start()
        wait_until(lambda: server.started, 20)
        address = f"http://127.0.0.1:{own.getsockname()[1]}"
        try:
            yield Served(address, service, server, thread, said)
        finally:
            service.is_stopping = True
            service.cancel_all()
            thread.join(20)
            assert not thread.is_alive()


def wait_until(is_so: Callable[[], bool], timeout_s: float) -> float:
    """Seconds until it is so; fails when it is not in time."""
    start_s = time.perf_counter()
    while not is_so():
        assert time.perf_counter() - start_s < timeout_s, f"not so after {timeout_s} s"
        time.sleep(0.01)
    return time.perf_counter() - start_s


def png(image: Image) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def as_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def question(text: str, *addresses: str, **fields: Any) -> dict[str, Any]:
    """A request of one question about the pictures at these addresses."""
    parts: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": address}} for address in addresses
    ]
    content = [*parts, {"type": "text", "text": text}]
    return {"messages": [{"role": "user", "content": content}], **fields}


def text_of(response: httpx2.Response) -> str:
    assert response.status_code == 200, response.text
    text: str = response.json()["choices"][0]["message"]["content"]
    return text
