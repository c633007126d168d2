"""What a client is told when its request cannot be answered, in the form that OpenAI's have."""

from __future__ import annotations

from typing import Any

from fastapi.responses import JSONResponse

_KINDS = {429: "rate_limit_error"}


class ApiError(Exception):
    """A request that is refused: the status, and what was expected, what came and what to do."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param
        self.retry_after_s = retry_after_s

    def document(self) -> dict[str, Any]:
        """The JSON of the answer."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {
            "error": {
                "message": str(self),
                "type": _KINDS.get(self.status, kind),
                "param": self.param,
                "code": self.code,
            }
        }

    def response(self) -> JSONResponse:
        """The answer. The connection ends where the request may not have been read to its end."""
        headers = {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        if self.status in (408, 413, 429, 503):
            headers["Connection"] = "close"
        return JSONResponse(self.document(), status_code=self.status, headers=headers)
