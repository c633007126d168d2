"""A language model that says what it is told to, fails where it is told to, and counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlcd.core.language.messages import Message


class Saying:
    """`say` gets the text of the conversation and gives the answer, or raises."""

    name = "toy"

    def __init__(self, say: Callable[[str], str]) -> None:
        self._say = say
        self.asked: list[str] = []
        self.pictures: list[int] = []

    def generate(self, messages: Sequence[Message], **settings: Any) -> str:
        (message,) = messages
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        text = "".join(part["text"] for part in parts if part["type"] == "text")
        self.asked.append(text)
        self.pictures.append(sum(part["type"] == "image" for part in parts))
        return self._say(text)

    def stream(self, messages: Sequence[Message], **settings: Any) -> Any:
        raise NotImplementedError("no test streams")
