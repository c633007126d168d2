"""One answer on its way from the engine's thread to the client, and what it holds meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from mlcd.core.language.generation_settings import GenerationSettings
from mlcd.core.language.prompt import Prompt
from mlcd.servers.api_errors import ApiError
from mlcd.servers.chat_reply import DONE, ChatReply, event, usage_of
from mlcd.servers.engine import Event, Finished, Job
from mlcd.servers.metrics import Metrics

CLIENT_GONE = 499
"""The status that counts for a client which hung up; nobody is left to read it."""


class Answering:
    """The events of one job, on the event loop.

    `done` is called with a status when the engine has let go of the job, be there a reader or not:
    a client that left before its answer was sent holds nothing either.
    """

    def __init__(
        self,
        prompt: Prompt,
        settings: GenerationSettings,
        *,
        metrics: Metrics,
        start_s: float,
        done: Callable[[int], None],
    ) -> None:
        self.job = Job(prompt, settings, self._send)
        self._num_prompt_tokens = prompt.length
        self._metrics, self._start_s, self._done = metrics, start_s, done
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._has_text = False

    def _send(self, news: Event) -> None:
        self._loop.call_soon_threadsafe(self._take, news)

    def _take(self, news: Event) -> None:
        took_s = time.perf_counter() - self._start_s
        if isinstance(news, str):
            if not self._has_text:
                self._metrics.first_token_s.add(took_s)
            self._has_text = True
        else:
            status = 500
            if isinstance(news, Finished):
                status = CLIENT_GONE if news.ending == "cancelled" else 200
                self._metrics.answer_tokens += news.num_tokens
                self._metrics.total_s.add(took_s)
            self._done(status)
        self._events.put_nowait(news)

    async def next(self) -> str | Finished:
        """The next piece, or the end; `ApiError` when the answer failed or was given up."""
        news = await self._events.get()
        if isinstance(news, Exception):
            raise ApiError(500, f"the answer failed: {news}") from news
        if isinstance(news, Finished) and news.ending == "cancelled":
            raise ApiError(503, "the answer was given up: this server is stopping")
        return news

    async def whole(self, reply: ChatReply) -> dict[str, Any]:
        """The answer as one document."""
        text = ""
        while isinstance(news := await self.next(), str):
            text += news
        return reply.whole(text, news.ending, usage_of(self._num_prompt_tokens, news.num_tokens))

    async def chunks(
        self, reply: ChatReply, first: str | Finished, *, includes_usage: bool
    ) -> AsyncIterator[str]:
        """The answer as events of a stream, `first` being what `next` gave before."""
        yield reply.first()
        news = first
        try:
            while isinstance(news, str):
                yield reply.piece(news)
                news = await self.next()
        except ApiError as error:  # the status has been sent
            yield event(error.document())
            return
        yield reply.last(news.ending)
        if includes_usage:
            yield reply.usage(usage_of(self._num_prompt_tokens, news.num_tokens))
        yield DONE
