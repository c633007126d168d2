"""Chat completions, from the request to the reply: who is let in, who waits, who is written for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from mlcd.core.images import Image, ImageError, read_image
from mlcd.core.language.messages import Message
from mlcd.core.language.pictures import PictureFeatures
from mlcd.core.language.prompt import Prompt, read_prompt
from mlcd.core.language.vlm import VisionLanguageModel
from mlcd.servers.answering import CLIENT_GONE, Answering
from mlcd.servers.api_errors import ApiError
from mlcd.servers.chat_reply import ChatReply
from mlcd.servers.chat_request import ChatRequest, read_conversation, read_request
from mlcd.servers.engine import Engine
from mlcd.servers.limits import Limits
from mlcd.servers.metrics import Metrics
from mlcd.servers.picture_sources import PictureSources
from mlcd.servers.visitor import ClientGoneError, Visitor, read_body

DEFAULT_PICTURE_MEMORY_BYTES = 2**28
"""256 MiB: about 200 pictures of 576 tokens for a decoder of width 512 in float32."""


class ChatService:
    """One model for many clients; all but the engine belongs to the thread of the event loop.

    A request holds one of `max_batch` slots from the reading of its pictures to its last token.
    """

    def __init__(
        self,
        vlm: VisionLanguageModel,
        *,
        name: str,
        limits: Limits,
        sources: PictureSources,
        picture_memory_bytes: int = DEFAULT_PICTURE_MEMORY_BYTES,
    ) -> None:
        self.name = name
        self._vlm, self._limits, self._sources = vlm, limits, sources
        self._features = PictureFeatures(picture_memory_bytes)
        self.engine = Engine(vlm, self._features)
        self.metrics = Metrics()
        self.num_open = 0
        """Requests in hand, waiting ones included."""
        self.is_stopping = False
        """Whether new requests are refused; those in hand are finished."""
        self._slots = asyncio.Semaphore(limits.max_batch)
        self._answers: set[Answering] = set()
        # one thread, since the tokenizer is not made for several; pictures are decoded here too
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="mlcd-reader")

    @property
    def num_running(self) -> int:
        """Answers that are written."""
        return len(self._answers)

    def cancel_all(self) -> None:
        """Give up all answers in hand."""
        for answer in self._answers:
            answer.job.cancel()

    def stop(self) -> None:
        """Give up all answers and end the threads."""
        self.engine.stop()
        self._reader.shutdown(wait=True, cancel_futures=True)

    async def answer(self, request: Request) -> Response:
        """The reply to one request."""
        start_s = time.perf_counter()
        if (refusal := self._refusal()) is not None:
            self.metrics.requests[refusal.status] += 1
            return refusal.response()
        ticket = _Ticket(self)
        try:
            body = await read_body(request, self._limits)
            ticket.visitor = Visitor(request)
            return await self._reply(body, ticket, ticket.visitor, start_s)
        except ApiError as error:
            ticket.close(error.status)
            return error.response()
        except ClientGoneError:
            if ticket.answer is None:
                ticket.close(CLIENT_GONE)
            return Response(status_code=CLIENT_GONE)
        except BaseException:
            ticket.close(500)
            raise

    def _refusal(self) -> ApiError | None:
        if self.is_stopping or not self.engine.is_alive:
            return ApiError(503, "this server is stopping: ask again later", retry_after_s=1)
        most = self._limits.max_batch + self._limits.max_waiting
        if self.num_open >= most:
            return ApiError(
                429,
                f"{self.num_open} requests are in hand, and this server takes at most {most}: ask "
                "again in a second",
                code="queue_full",
                retry_after_s=1,
            )
        return None

    async def _reply(
        self, body: bytes, ticket: _Ticket, visitor: Visitor, start_s: float
    ) -> Response:
        request, messages, pictures = await visitor.wait(asyncio.to_thread(self._read, body))
        settings = request.settings(self._limits)
        ticket.has_slot = await visitor.wait(self._slots.acquire())
        loop = asyncio.get_running_loop()
        reading = loop.run_in_executor(self._reader, self._prompt, messages, pictures)
        prompt = await visitor.wait(reading)
        self.metrics.prompt_tokens += prompt.length
        self.metrics.pictures += len(pictures)
        answer = Answering(
            prompt, settings, metrics=self.metrics, start_s=start_s, done=ticket.close
        )
        ticket.answer = answer
        self._answers.add(answer)
        visitor.when_gone(answer.job.cancel)
        self.engine.submit(answer.job)
        reply = ChatReply(self.name)
        if not request.stream:
            return JSONResponse(await visitor.wait(answer.whole(reply)))
        first = await visitor.wait(answer.next())  # what fails at once has its own status
        chunks = answer.chunks(reply, first, includes_usage=request.includes_usage)
        return StreamingResponse(chunks, media_type="text/event-stream")

    def _read(self, body: bytes) -> tuple[ChatRequest, list[Message], list[bytes | Path]]:
        """The request, its messages, and its pictures, not decoded; in any thread."""
        request = read_request(body)
        if request.model not in (None, self.name):
            raise ApiError(
                404,
                f"no model {request.model!r:.80} here: expected {self.name!r}, or no model at all",
                code="model_not_found",
                param="model",
            )
        messages, addresses = read_conversation(request, self._limits)
        return request, messages, [self._sources.open(address) for address in addresses]

    def _prompt(self, messages: list[Message], pictures: Sequence[bytes | Path]) -> Prompt:
        """The conversation as the model takes it; in the reader's thread."""
        images: list[Image] = []
        left = self._limits.max_pixels
        for number, picture in enumerate(pictures, 1):
            try:
                images.append(read_image(picture, max_pixels=left))
            except ImageError as error:
                raise ApiError(
                    400,
                    f"picture {number}: {error} (all pictures of a request together may have "
                    f"{self._limits.max_pixels:,} pixels)",
                    param="messages",
                ) from error
            left -= images[-1].shape[0] * images[-1].shape[1]
        try:
            return read_prompt(self._vlm, messages, images, self._features)
        except ValueError as error:
            raise ApiError(400, str(error), param="messages") from error


class _Ticket:
    """What one request holds, given back once."""

    def __init__(self, service: ChatService) -> None:
        self._service, self._is_open = service, True
        self.visitor: Visitor | None = None
        self.has_slot = False
        self.answer: Answering | None = None
        service.num_open += 1

    def close(self, status: int) -> None:
        """Give it back, and count the status; the second time nothing happens."""
        if not self._is_open:
            return
        self._is_open = False
        service = self._service
        service.num_open -= 1
        service.metrics.requests[status] += 1
        if self.has_slot:
            service._slots.release()
        if self.answer is not None:
            service._answers.discard(self.answer)
        if self.visitor is not None:
            self.visitor.leave()
