"""A request for a chat completion: OpenAI's form, read into a conversation and its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlcd.core.language.generation_settings import GenerationSettings
from mlcd.core.language.messages import Message
from mlcd.servers.api_errors import ApiError
from mlcd.servers.limits import Limits

# What would change an answer and is not done here: (field, values that ask for nothing).
_NOT_DONE: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("n", (1,)),
    ("tools", ([],)),
    ("functions", ([],)),
    ("logprobs", (False,)),
    ("top_logprobs", (0,)),
    ("logit_bias", ({},)),
    ("frequency_penalty", (0,)),
    ("presence_penalty", (0,)),
    ("response_format", ({"type": "text"},)),
    ("modalities", (["text"],)),
    ("audio", ()),
)


class StreamOptions(BaseModel):
    """How a stream is to be sent."""

    model_config = ConfigDict(strict=True)
    include_usage: bool = False


class ChatRequest(BaseModel):
    """The body of a request. Greedy unless a temperature is given, as everywhere in MLCD; `top_k`
    and `repetition_penalty` are not OpenAI's. Fields that change no answer are passed over.
    """

    model_config = ConfigDict(extra="allow")
    messages: list[dict[str, Any]] = Field(min_length=1)
    model: str | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0)
    repetition_penalty: float | None = Field(None, gt=0, le=10)
    stop: str | list[str] | None = None
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)

    @property
    def includes_usage(self) -> bool:
        """Whether a stream ends with the counts of tokens."""
        return self.stream_options is not None and self.stream_options.include_usage

    def settings(self, limits: Limits) -> GenerationSettings:
        """How the answer is to be written."""
        asked = self.max_completion_tokens or self.max_tokens
        if asked is not None and asked > limits.max_new_tokens:
            raise ApiError(
                400,
                f"max_tokens: expected at most {limits.max_new_tokens:,}, got {asked:,}",
                param="max_tokens",
            )
        number = asked or min(GenerationSettings().max_new_tokens, limits.max_new_tokens)
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        if len(stop) > 16 or any(not text or len(text) > 1000 for text in stop):
            raise ApiError(400, "stop: expected at most 16 texts of 1 to 1,000 letters")
        given = {
            name: value
            for name in ("temperature", "top_p", "top_k", "repetition_penalty", "seed")
            if (value := getattr(self, name)) is not None
        }
        return GenerationSettings(max_new_tokens=number, stop=tuple(stop), **given)


def read_request(body: bytes) -> ChatRequest:
    """The request in a body of JSON; `ApiError` says which field is not as expected."""
    try:
        request = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(map(str, first["loc"]))
        came = (
            "" if first["type"] in ("json_invalid", "missing") else f", got {first['input']!r:.80}"
        )
        message = f"{field + ': ' if field else ''}{first['msg']}{came}"
        raise ApiError(400, message, param=field or None) from error
    for field, nothing in _NOT_DONE:
        value = (request.model_extra or {}).get(field)
        if value is not None and value not in nothing:
            raise ApiError(
                400,
                f"{field}: this server does not do it, got {value!r:.80}; leave it out",
                code="unsupported_parameter",
                param=field,
            )
    return request


class Conversation(NamedTuple):
    """The messages as the model takes them, but for the pictures, and where these are."""

    messages: list[Message]
    addresses: list[str]


def read_conversation(request: ChatRequest, limits: Limits) -> Conversation:
    """The conversation, and the addresses of its pictures in order.

    What the model itself will say of the messages is not said here.
    """
    addresses: list[str] = []
    messages = [_message(own, addresses) for own in request.messages]
    if len(addresses) > limits.max_pictures:
        raise ApiError(
            400,
            f"{len(addresses):,} pictures: expected at most {limits.max_pictures} in a request; "
            "ask about fewer, or start the server with a larger --max-pictures",
            code="too_many_pictures",
            param="messages",
        )
    return Conversation(messages, addresses)


def _message(message: Mapping[str, Any], addresses: list[str]) -> Message:
    role, content = message.get("role"), message.get("content")
    if role == "developer":  # what newer clients call it
        role = "system"
    if isinstance(content, list):
        content = [_part(part, addresses) for part in content]
    return {"role": role, "content": content}


def _part(part: Any, addresses: list[str]) -> Any:
    if not isinstance(part, Mapping) or part.get("type") not in ("image_url", "image"):
        return part
    image = part.get("image_url")
    address = image.get("url") if isinstance(image, Mapping) else image
    if not isinstance(address, str):
        raise ApiError(
            400,
            'expected {"type": "image_url", "image_url": {"url": "data:image/png;base64,..."}}, '
            f"got {part!r:.80}",
            param="messages",
        )
    addresses.append(address)
    return {"type": "image"}
