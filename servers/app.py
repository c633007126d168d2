"""The addresses of a server: OpenAI's chat completions and models, health and metrics."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from mlcd.servers.api_errors import ApiError
from mlcd.servers.chat_request import ChatRequest
from mlcd.servers.chat_service import ChatService
from mlcd.servers.metrics import CONTENT_TYPE

_LOG = logging.getLogger(__name__)


def create_app(service: ChatService, *, hosts: Sequence[str] | None = None) -> FastAPI:
    """The application around one service, whose threads live as long as it is served.

    With `hosts` it answers only requests that call it by one of these names: a web page whose name
    was made to lead to this machine does not reach it.
    """
    created_s = int(time.time())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.engine.start()
        yield
        service.stop()

    # no pages of documentation: they would load scripts from elsewhere; /openapi.json is there
    app = FastAPI(title="MLCD", lifespan=lifespan, docs_url=None, redoc_url=None)

    if hosts is not None:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))

    @app.exception_handler(HTTPException)
    async def refuse(_: Request, error: HTTPException) -> Response:
        return ApiError(error.status_code, str(error.detail)).response()

    @app.exception_handler(Exception)
    async def fail(_: Request, error: Exception) -> Response:
        _LOG.error("a request failed", exc_info=error)
        return ApiError(500, "this server failed; its log says why").response()

    body = {"content": {"application/json": {"schema": ChatRequest.model_json_schema()}}}

    @app.post("/v1/chat/completions", openapi_extra={"requestBody": body})
    async def chat_completions(request: Request) -> Response:
        return await service.answer(request)

    @app.get("/v1/models")
    async def models() -> Response:
        own = {"id": service.name, "object": "model", "created": created_s, "owned_by": "mlcd"}
        return JSONResponse({"object": "list", "data": [own]})

    @app.get("/health")
    async def health() -> Response:
        state = "ok"
        if service.is_stopping or not service.engine.is_alive:
            state = "stopping" if service.is_stopping else "failed"
        document = {
            "status": state,
            "model": service.name,
            "running": service.num_running,
            "waiting": service.num_open - service.num_running,
        }
        return JSONResponse(document, status_code=200 if state == "ok" else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        text = service.metrics.text(
            {
                "requests_running": ("Answers that are written.", service.num_running),
                "requests_waiting": (
                    "Requests that wait.",
                    service.num_open - service.num_running,
                ),
                "decoder_steps_total": ("Passes of the decoder.", service.engine.num_steps),
                "decoder_tokens_total": ("Tokens chosen in them.", service.engine.num_tokens),
            }
        )
        return Response(text, media_type=CONTENT_TYPE)

    return app
