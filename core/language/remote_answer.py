"""An answer that a server writes: its stream of events, read as it comes."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import httpx2

from mlcd.core.language.backend import Ending


class RemoteError(OSError):
    """A server that cannot be reached, refuses a request, or breaks off."""

    def __init__(
        self, message: str, *, status: int | None = None, wait_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        """Of its reply, where there was one."""
        self.wait_s = wait_s
        """How long it asks to be left alone."""


class RemoteAnswer(Iterator[str]):
    """The pieces of an answer, as the server sends them; joined they are the answer."""

    def __init__(self, pieces: Generator[str], counts: Counts) -> None:
        self._pieces, self._counts = pieces, counts

    def __next__(self) -> str:
        return next(self._pieces)

    def close(self) -> None:
        """Hang up: the server computes nothing more."""
        self._pieces.close()
        self._counts.ending = self._counts.ending or "cancelled"

    @property
    def ending(self) -> Ending | None:
        """Why the answer is over; None while it is not."""
        return self._counts.ending

    @property
    def num_prompt_tokens(self) -> int | None:
        """Tokens before the answer; None until the server has said it, which it does at the end."""
        return self._counts.num_prompt_tokens

    @property
    def num_tokens(self) -> int | None:
        """Tokens of the answer; None until the server has said it."""
        return self._counts.num_tokens


class Counts:
    """What a server says about an answer beside its text."""

    def __init__(self) -> None:
        self.ending: Ending | None = None
        self.num_prompt_tokens: int | None = None
        self.num_tokens: int | None = None

    def take(self, document: Mapping[str, Any]) -> None:
        """Read the counts and the reason in a reply or a chunk of one."""
        usage = document.get("usage")
        if isinstance(usage, Mapping):
            self.num_prompt_tokens = usage.get("prompt_tokens")
            self.num_tokens = usage.get("completion_tokens")
        reason = next((own.get("finish_reason") for own in document.get("choices") or ()), None)
        if reason is not None:
            self.ending = "length" if reason == "length" else "stop"


def read_text(document: Any, counts: Counts) -> str:
    """The text of a whole reply; `RemoteError` when it is none."""
    try:
        text = document["choices"][0]["message"]["content"]
        counts.take(document)
    except (LookupError, TypeError, AttributeError) as error:
        raise RemoteError(f"expected a chat completion, got {document!r:.200}") from error
    return text or ""


def read_pieces(response: httpx2.Response, counts: Counts) -> Iterator[str]:
    """The pieces in a stream of events; `RemoteError` where it ends before the answer does."""
    for line in _lines(response):
        if not line.startswith("data:"):
            continue  # comments that keep the connection, names of events, empty lines
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            break
        yield from _read_chunk(data, counts)
    if counts.ending is None:
        raise RemoteError("the server ended the stream in the middle of the answer")


def _lines(response: httpx2.Response) -> Iterator[str]:
    """The lines of a stream. For `iter_lines` U+2028 in a text is a line's end too."""
    rest = b""
    for part in response.iter_bytes():
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")
    yield rest.decode(errors="replace")


def _read_chunk(data: str, counts: Counts) -> Iterator[str]:
    try:
        chunk = json.loads(data)
        error = chunk.get("error")
        pieces = [own.get("delta", {}).get("content") for own in chunk.get("choices") or ()]
        counts.take(chunk)
    except (ValueError, AttributeError) as cause:
        raise RemoteError(f"expected chunks of a chat completion, got {data:.200}") from cause
    if error is not None:
        raise RemoteError(f"the answer broke off: {reason_of(chunk)}")
    for piece in pieces:
        if piece:
            yield piece


def reason_of(document: Any) -> str:
    """What a server says went wrong, from the forms that are in use."""
    for key in ("error", "detail", "message"):
        if isinstance(document, Mapping) and document.get(key):
            return reason_of(document[key])
    return f"{document:.500}" if isinstance(document, str) else f"{document!r:.500}"
