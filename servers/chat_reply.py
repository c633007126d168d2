"""An answer as OpenAI's clients read it: whole, or in chunks of a stream."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any, Literal

from mlcd.core.language.backend import Ending

DONE = "data: [DONE]\n\n"

_REASONS: dict[Ending, Literal["stop", "length"]] = {
    "end": "stop",
    "stop": "stop",
    "length": "length",
}


class ChatReply:
    """The documents of one answer, which share its id, its time and the name of the model."""

    def __init__(self, model: str) -> None:
        self._shared = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,
        }

    def whole(self, text: str, ending: Ending, usage: dict[str, int]) -> dict[str, Any]:
        """The answer to a request that is no stream."""
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": _REASONS[ending]}
        return {**self._shared, "object": "chat.completion", "choices": [choice], "usage": usage}

    def first(self) -> str:
        """The chunk that says who speaks."""
        return self._chunk({"role": "assistant", "content": ""})

    def piece(self, text: str) -> str:
        """A piece of the answer."""
        return self._chunk({"content": text})

    def last(self, ending: Ending) -> str:
        """The chunk that says why the answer is over."""
        return self._chunk({}, _REASONS[ending])

    def usage(self, usage: dict[str, int]) -> str:
        """The counts of tokens at the end of a stream."""
        return self._event({"choices": [], "usage": usage})

    def _chunk(self, delta: dict[str, str], reason: str | None = None) -> str:
        return self._event({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})

    def _event(self, fields: dict[str, Any]) -> str:
        return event({**self._shared, "object": "chat.completion.chunk", **fields})


def usage_of(num_prompt_tokens: int, num_tokens: int) -> dict[str, int]:
    """The counts of tokens, pictures included."""
    return {
        "prompt_tokens": num_prompt_tokens,
        "completion_tokens": num_tokens,
        "total_tokens": num_prompt_tokens + num_tokens,
    }


def event(document: dict[str, Any]) -> str:
    """One event of a stream."""
    return f"data: {json.dumps(document, ensure_ascii=False)}\n\n"
