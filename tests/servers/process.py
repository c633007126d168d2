"""A server in a process of its own, on a free port, that ends with the test."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

START_S = 90.0


def free_port() -> int:
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        port: int = own.getsockname()[1]
        return port


@contextmanager
def server_process(
    program: str, *words: str, port: int, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a line of Python that serves at `port`; gives it once /health answers."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *words, "--port", str(port)],
            stdout=file,
            stderr=file,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
    try:
        end_s = time.perf_counter() + START_S
        while not _is_healthy(port):
            assert process.poll() is None, log.read_text()
            assert time.perf_counter() < end_s, log.read_text()
            time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.wait(20)


def _is_healthy(port: int) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200
    except httpx2.HTTPError:
        return False
