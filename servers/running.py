"""Listening, and stopping without losing an answer."""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from mlcd.servers.chat_service import ChatService

_LAST_BYTES_S = 5
"""For clients to take the last bytes of their answers once all are written."""


def bind(host: str, port: int) -> socket.socket:
    """A socket at an address, before anything slow; OSError when it is taken. Port 0: any free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    own = socket.socket(family, socket.SOCK_STREAM)
    try:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.bind((host, port))
    except OSError as error:
        own.close()
        reason = error.strerror or error
        raise OSError(
            f"cannot listen at {host}, port {port}: {reason}; try another --port"
        ) from error
    return own


class GracefulServer(uvicorn.Server):
    """On SIGTERM or Ctrl-C finishes the answers in hand and refuses new ones; the second time gives
    up.
    """

    def __init__(self, app: FastAPI, service: ChatService, say: Callable[[str], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=_LAST_BYTES_S,
            )
        )
        self._service, self._say = service, say

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """What a signal does."""
        if self._service.is_stopping:
            self._service.cancel_all()
            super().handle_exit(sig, frame)
            return
        self._service.is_stopping = True
        self._say(f"stopping: {self._service.num_open} answers are finished first")

    async def on_tick(self, counter: int) -> bool:
        """Whether to end, asked ten times a second."""
        is_done = self._service.is_stopping and self._service.num_open == 0
        return await super().on_tick(counter) or is_done
