"""A server on the loopback address that answers as it is told, and keeps what it has heard."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """What it says to one request."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    claimed: int = 0
    """Bytes that it claims to send beyond the body, and never does."""
    delay_s: float = 0.0


class Heard(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    body: Any


def completion(text: str) -> Reply:
    choice = {"index": 0, "message": {"content": text}, "finish_reason": "stop"}
    return Reply(body=json.dumps({"choices": [choice]}).encode())


def stream_of(*pieces: str, is_ended: bool = True, claimed: int = 0) -> Reply:
    """Events as some servers send them: comments between, no space after the colon."""
    events: list[str] = []
    for piece in pieces:
        chunk = {"choices": [{"delta": {"content": piece}}]}
        events.append(f"data:{json.dumps(chunk, ensure_ascii=False)}\r\n\r\n: wait\n\n")
    if is_ended:
        events.append('data: {"choices": [{"delta": {}, "finish_reason": "length"}]}\n\n')
        events.append("data: [DONE]\n\n")
    return Reply(body="".join(events).encode(), claimed=claimed)


@contextmanager
def odd_server(*replies: Reply) -> Iterator[tuple[str, list[Heard]]]:
    """Its address and what it has heard; each request gets the next reply, later ones the last."""
    heard: list[Heard] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length) or b"null")
            with lock:
                reply = replies[min(len(heard), len(replies) - 1)]
                heard.append(
                    Heard(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                )
            time.sleep(reply.delay_s)
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(reply.body) + reply.claimed))
            for name, value in reply.headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)
            self.close_connection = bool(reply.claimed)

        do_GET = do_POST  # noqa: N815 - the library's name

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", heard
        finally:
            server.shutdown()
