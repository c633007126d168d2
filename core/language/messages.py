"""A conversation: turns of text and pictures, read from the plain dictionaries that users write.

[{"role": "user", "content": [{"type": "image", "image": photo}, {"type": "text", "text": "?"}]}]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mlcd.core.images import ImageSource

Message = Mapping[str, Any]
"""`role` (system, user or assistant) and `content`: a text, or a list of parts of `type` text with
a `text`, or image with an `image`. An image part without one takes the next of a list of images.
A part of type word with an `id` is a special word, in what an assistant said.
"""

ROLES = ("system", "user", "assistant")

_PLACEHOLDER = "<image>"


class Picture(NamedTuple):
    """The place of a picture in a turn, and the picture, if it came with it."""

    image: ImageSource | None = None


class Word(NamedTuple):
    """A special word of the vocabulary, which no text can write."""

    id: int


class Turn(NamedTuple):
    """What one side says."""

    role: str
    parts: tuple[str | Picture | Word, ...]

    @property
    def text(self) -> str:
        """The text alone."""
        return "".join(part for part in self.parts if isinstance(part, str))

    @property
    def num_pictures(self) -> int:
        """Places for pictures."""
        return sum(isinstance(part, Picture) for part in self.parts)


def read_messages(messages: Sequence[Message]) -> list[Turn]:
    """The turns of a conversation; ValueError says which message is not as it should be."""
    if isinstance(messages, (str, Mapping)) or not messages:
        raise ValueError(
            'expected a list of messages like [{"role": "user", "content": "..."}], '
            f"got {messages!r:.80}"
        )
    turns = [_read_message(message, number) for number, message in enumerate(messages, 1)]
    for number, turn in enumerate(turns, 1):
        if turn.role == "system" and number > 1:
            raise ValueError(f"message {number}: a system message can only be the first")
        if turn.role != "user" and turn.num_pictures:
            raise ValueError(f"message {number}: pictures belong to a user, not to {turn.role}")
        if turn.role != "assistant" and any(isinstance(part, Word) for part in turn.parts):
            raise ValueError(f"message {number}: special words belong to an assistant")
    return turns


def _read_message(message: Message, number: int) -> Turn:
    if not isinstance(message, Mapping) or not {"role", "content"} <= set(message):
        raise ValueError(f"message {number}: expected role and content, got {message!r:.80}")
    role, content = message["role"], message["content"]
    if role not in ROLES:
        raise ValueError(f"message {number}: role {role!r}: expected one of {', '.join(ROLES)}")
    if isinstance(content, str):
        return Turn(role, (content,))
    if not isinstance(content, (list, tuple)):
        raise ValueError(
            f"message {number}: content: expected a text or a list of parts, got {content!r:.80}"
        )
    parts = [_read_part(part, number) for part in content]
    return Turn(role, tuple(part for part in parts if part != ""))


def _read_part(part: object, number: int) -> str | Picture | Word:
    if isinstance(part, Mapping):
        if part.get("type") == "text" and isinstance(part.get("text"), str):
            return str(part["text"])
        if part.get("type") == "image":
            return Picture(part.get("image"))
        if part.get("type") == "word" and type(part.get("id")) is int:
            return Word(part["id"])
    raise ValueError(
        f'message {number}: expected parts like {{"type": "text", "text": "..."}} or '
        f'{{"type": "image", "image": ...}}, got {part!r:.80}'
    )


def pictures_in(turns: Sequence[Turn], images: Sequence[ImageSource] = ()) -> list[ImageSource]:
    """The pictures of a conversation in order; places without one take those of `images`.

    ValueError, with both counts, when there are not as many images as places for them.
    """
    places = [part for turn in turns for part in turn.parts if isinstance(part, Picture)]
    num_open = sum(place.image is None for place in places)
    if num_open != len(images):
        raise ValueError(
            f"{num_open} placeholders without a picture for {len(images)} pictures: expected one "
            'for each; write a part {"type": "image"} where each picture belongs'
        )
    following = iter(images)
    return [next(following) if place.image is None else place.image for place in places]


def content_parts(text: str) -> list[dict[str, Any]]:
    """A message's content from a text of LLaVA's data, where `<image>` marks a picture's place.

    Only for texts of data sets: in what a user writes `<image>` is a word like any other.
    """
    first, *others = text.split(_PLACEHOLDER)
    parts: list[dict[str, Any]] = [{"type": "text", "text": first}]
    for other in others:
        parts += [{"type": "image"}, {"type": "text", "text": other}]
    return [part for part in parts if part.get("text") != ""]
