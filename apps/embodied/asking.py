"""One question about frames, put to a model in the words of a protocol.

The frames come first and the question after them, so that the next question about the same frames
begins where that one departs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from mlcd.core.images import ImageSource
from mlcd.core.language import ConversationCache
from mlcd.core.language.backend import LanguageBackend
from mlcd.core.language.messages import Message
from mlcd.core.language.vlm import VisionLanguageModel

Style = Literal["plain", "mlcd"]
"""`plain`: the frames and the question. `mlcd`: numbered frames and a request, as MLCD asked."""
Shown = Literal["episode", "single", "none"]
"""All frames that the protocol takes, the last one alone, or none: the two controls."""
Ask = Callable[[Sequence[ImageSource], str], str]
"""Frames and a question in, an answer out."""


def asker(backend: LanguageBackend, *, style: Style = "plain", max_new_tokens: int = 128) -> Ask:
    """A function that asks this model greedily. Of a model in this process frames that come again
    are not encoded again, nor read again by the decoder.
    """
    cache = ConversationCache()

    def ask(frames: Sequence[ImageSource], question: str) -> str:
        messages = put_question(frames, question, style)
        if isinstance(backend, VisionLanguageModel):
            text = backend.generate(messages, max_new_tokens=max_new_tokens, cache=cache)
        else:
            text = backend.generate(messages, max_new_tokens=max_new_tokens)
        return text.strip().rpartition("\n")[2].strip() if style == "mlcd" else text.strip()

    return ask


def put_question(frames: Sequence[ImageSource], question: str, style: Style) -> list[Message]:
    """The conversation of one question. In MLCD's style questions that end in a "is it" are told
    to be answered with yes or no; its words of the request are not published, these are ours.
    """
    parts: list[dict[str, Any]] = []
    if style == "plain" or not frames:
        parts += [{"type": "image", "image": frame} for frame in frames]
        return [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}]
    for number, frame in enumerate(frames, start=1):
        parts.append({"type": "text", "text": f"Image {number}:\n"})
        parts += [{"type": "image", "image": frame}, {"type": "text", "text": "\n"}]
    binary = " Please answer yes or no. " if ". is it" in question else ""
    request = (
        f"The {len(frames)} images above are frames of one video, in their order. Answer the "
        f"question about it. {question}{binary}\nYour answer is:"
    )
    return [{"role": "user", "content": [*parts, {"type": "text", "text": request}]}]
