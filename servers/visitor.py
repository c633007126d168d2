"""One client on the line: its request is read within limits, and it is noticed when it hangs up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from mlcd.servers.api_errors import ApiError
from mlcd.servers.limits import Limits

Result = TypeVar("Result")


class ClientGoneError(Exception):
    """Nobody is left to be answered."""


async def read_body(request: Request, limits: Limits) -> bytes:
    """The body of a request of JSON; `ApiError` for one that is too large, before it is read."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        # a form on any web page could send other types here without asking
        raise ApiError(415, "expected the header Content-Type: application/json")
    most = limits.max_body_bytes
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told) > most:
        raise _too_large(int(told), most)
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_timeout_s):
            async for part in request.stream():
                body += part
                if len(body) > most:
                    raise _too_large(len(body), most)
    except TimeoutError as error:
        raise ApiError(
            408, f"expected the request within {limits.body_timeout_s:g} s, got {len(body):,} bytes"
        ) from error
    except ClientDisconnect as error:
        raise ClientGoneError from error
    return bytes(body)


def _too_large(size: int, most: int) -> ApiError:
    return ApiError(
        413,
        f"expected a request of at most {most:,} bytes, got {size:,} or more; send fewer or "
        "smaller pictures, or start the server with a larger --max-body-mb",
        code="request_too_large",
    )


class Visitor:
    """Watches the connection of a request whose body has been read, until it is told to `leave`."""

    def __init__(self, request: Request) -> None:
        self._gone = asyncio.ensure_future(_wait_for_end(request))

    async def wait(self, awaitable: Awaitable[Result]) -> Result:
        """What it gives; when the client hangs up before, it is cancelled: `ClientGoneError`."""
        task = asyncio.ensure_future(awaitable)
        try:
            await asyncio.wait({task, self._gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            if self._gone.done():
                raise ClientGoneError from None
            raise

    def when_gone(self, callback: Callable[[], None]) -> None:
        """Call it when the client hangs up, or has been sent all of its answer."""
        self._gone.add_done_callback(lambda gone: None if gone.cancelled() else callback())

    def leave(self) -> None:
        """Watch no longer."""
        self._gone.cancel()


async def _wait_for_end(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
