"""A model behind an address: the interface of `VisionLanguageModel` over OpenAI's chat completions.

Works with `mlcd serve`, `transformers serve`, vLLM and others. Importable without torch, so that a
robot's computer can ask without having a model.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Self, TypeVar

import httpx2

from mlcd.core.images import ImageSource
from mlcd.core.language.backend import Cancel
from mlcd.core.language.generation_settings import GenerationSettings
from mlcd.core.language.messages import Message
from mlcd.core.language.remote_answer import (
    Counts,
    RemoteAnswer,
    RemoteError,
    read_pieces,
    read_text,
    reason_of,
)
from mlcd.core.language.remote_messages import PictureFormat, to_openai

_CONNECT_TIMEOUT_S = 10.0
_LONGEST_WAIT_S = 8.0
_WORTH_ANOTHER_TRY = (408, 429, 500, 502, 503, 504)

Result = TypeVar("Result")


class RemoteModel:
    """A model that any OpenAI-compatible server holds. May be used from several threads.

    A server that cannot be reached, is busy (429), or fails (5xx) is asked again, `retries` times,
    after `backoff_s`, twice as long each time and 8 s at most, or as long as it says itself. An
    answer of which pieces were given out already is not begun anew: `RemoteError`.
    """

    def __init__(
        self,
        address: str,
        model: str | None = None,
        *,
        api_key: str | None = None,
        timeout_s: float = 120.0,
        retries: int = 6,
        backoff_s: float = 0.5,
        picture_format: PictureFormat = "png",
    ) -> None:
        """`address` is like http://127.0.0.1:8000 or .../v1; without `model` the server's only one.

        `timeout_s`: how long the server may say nothing. Nothing is asked yet.
        """
        if not address.startswith(("http://", "https://")):
            raise ValueError(f"address: expected http://HOST:PORT or https://..., got {address!r}")
        base = address.rstrip("/")
        self.address = base if base.endswith("/v1") else f"{base}/v1"
        self._model, self._retries, self._backoff_s = model, retries, backoff_s
        self._picture_format: PictureFormat = picture_format
        self._lock = threading.Lock()
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx2.Client(
            headers=headers,
            timeout=httpx2.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_TIMEOUT_S)),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=16),
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """The model's name at the server, asked for where it was not given."""
        with self._lock:
            if self._model is None:
                self._model = self._with_retries(self._only_model)
            return self._model

    def generate(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int | None = None,
        images: Sequence[ImageSource] = (),
        settings: GenerationSettings | None = None,
        cancel: Cancel | None = None,
    ) -> str:
        """The answer to a conversation, greedy unless the settings say otherwise.

        ValueError when the messages are no conversation, `ImageError` for a picture that cannot be
        read, `RemoteError` when the server cannot be reached, refuses, or says what is no answer.
        """
        if cancel is not None:  # which is asked between pieces
            return "".join(
                self.stream(
                    messages,
                    max_new_tokens=max_new_tokens,
                    images=images,
                    settings=settings,
                    cancel=cancel,
                )
            )
        body = self._body(messages, images, settings, max_new_tokens)
        return self._with_retries(lambda: read_text(self._post(body), Counts()))

    def stream(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int | None = None,
        images: Sequence[ImageSource] = (),
        settings: GenerationSettings | None = None,
        cancel: Cancel | None = None,
    ) -> RemoteAnswer:
        """The same answer in pieces; the server is asked with the first.

        A server that is waited for is not told of `cancel`; closing the answer hangs up at once.
        """
        body = self._body(messages, images, settings, max_new_tokens)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        counts = Counts()
        return RemoteAnswer(self._pieces(body, counts, cancel), counts)

    def _body(
        self,
        messages: Sequence[Message],
        images: Sequence[ImageSource],
        settings: GenerationSettings | None,
        max_new_tokens: int | None,
    ) -> dict[str, Any]:
        settings = settings or GenerationSettings()
        body: dict[str, Any] = {
            "messages": to_openai(messages, images, picture_format=self._picture_format),
            "model": self.name,
            "max_tokens": max_new_tokens or settings.max_new_tokens,
            "temperature": settings.temperature,
        }
        plain = GenerationSettings()
        # only what was asked for: servers differ in what they take beyond the first four
        for field in ("top_p", "top_k", "repetition_penalty", "seed"):
            if getattr(settings, field) != getattr(plain, field):
                body[field] = getattr(settings, field)
        if settings.stop:
            body["stop"] = list(settings.stop)
        return body

    def _pieces(
        self, body: dict[str, Any], counts: Counts, cancel: Cancel | None
    ) -> Generator[str]:
        response, first, others = self._with_retries(lambda: self._begin(body, counts))
        try:
            for piece in chain(first, others):
                if cancel is not None and cancel():
                    counts.ending = "cancelled"
                    return
                yield piece
        except httpx2.HTTPError as error:
            raise RemoteError(
                f"{self.address}: the connection broke in the middle of the answer: {_why(error)}"
            ) from error
        finally:
            response.close()

    def _begin(
        self, body: dict[str, Any], counts: Counts
    ) -> tuple[httpx2.Response, list[str], Iterator[str]]:
        """The reply, its first piece (none of an empty answer), and the others."""
        response = self._open(body)
        try:
            pieces = read_pieces(response, counts)
            return response, list(islice(pieces, 1)), pieces
        except BaseException:
            response.close()
            raise

    def _open(self, body: dict[str, Any]) -> httpx2.Response:
        request = self._client.build_request("POST", f"{self.address}/chat/completions", json=body)
        response = self._client.send(request, stream=True)
        if response.status_code != 200:
            response.read()
            raise self._refusal(response)
        return response

    def _post(self, body: dict[str, Any]) -> Any:
        return self._document(self._client.post(f"{self.address}/chat/completions", json=body))

    def _only_model(self) -> str:
        document = self._document(self._client.get(f"{self.address}/models"))
        try:
            names = [str(own["id"]) for own in document["data"]]
        except (LookupError, TypeError) as error:
            raise RemoteError(
                f"{self.address}/models: expected a list of models, got {document!r:.200}"
            ) from error
        if len(names) != 1:
            shown = ", ".join(names[:10]) or "none"
            raise ValueError(f"{self.address} has several models or none ({shown}): give `model`")
        return names[0]

    def _document(self, response: httpx2.Response) -> Any:
        if response.status_code != 200:
            raise self._refusal(response)
        try:
            return response.json()
        except ValueError as error:
            raise RemoteError(
                f"{self.address}: expected JSON, got {response.text[:200]!r}: is it a server of "
                "chat completions?"
            ) from error

    def _refusal(self, response: httpx2.Response) -> RemoteError:
        try:
            reason = reason_of(response.json())
        except ValueError:
            reason = response.text[:500] or response.reason_phrase
        status = response.status_code
        wait_s = _seconds(response.headers.get("retry-after"))
        message = f"{self.address} answers {status}: {reason}"
        return RemoteError(message, status=status, wait_s=wait_s)

    def _with_retries(self, ask: Callable[[], Result]) -> Result:
        for attempt in range(self._retries + 1):
            wait_s = min(self._backoff_s * 2**attempt, _LONGEST_WAIT_S)
            try:
                return ask()
            except RemoteError as error:
                if error.status not in _WORTH_ANOTHER_TRY or attempt == self._retries:
                    raise
                wait_s = max(wait_s, min(error.wait_s or 0.0, _LONGEST_WAIT_S))
            except httpx2.HTTPError as error:
                is_late = isinstance(error, httpx2.ReadTimeout)  # it had all of its time
                if is_late or attempt == self._retries:
                    raise RemoteError(
                        f"{self.address}: no answer after {attempt + 1} tries: {_why(error)}; is "
                        "the server running, and is this its address?"
                    ) from error
            time.sleep(wait_s * random.uniform(0.75, 1.25))  # many clients do not come back at once
        raise AssertionError("the last try returns or raises")


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() else None
