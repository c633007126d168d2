"""A conversation about pictures, turn by turn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mlcd.apps.embodied.keyframes import Keyframe, as_keyframes
from mlcd.apps.embodied.reply import Answer, Reply, Stream
from mlcd.core.images import ImageSource
from mlcd.core.language.backend import Cancel
from mlcd.core.language.generation_settings import GenerationSettings
from mlcd.core.language.messages import Message


class Chat:
    """Each question is asked with all that was said before. Pictures come with any question, stay
    for the rest of the conversation, and are encoded once. For one thread.
    """

    def __init__(self, stream: Stream, settings: GenerationSettings | None = None) -> None:
        """`settings`: how answers are written where a question does not say it."""
        self._stream, self._settings = stream, settings
        self._messages: list[Message] = []
        self._frames: list[Keyframe] = []
        self._open: Reply | None = None

    @property
    def messages(self) -> list[Message]:
        """The conversation so far, as models take it."""
        return list(self._messages)

    @property
    def frames(self) -> list[Keyframe]:
        """All pictures of the conversation so far."""
        return list(self._frames)

    def reset(self) -> None:
        """Begin anew, without pictures."""
        self._close()
        self._messages, self._frames = [], []

    def ask(
        self,
        question: str,
        frames: Iterable[ImageSource | Keyframe] = (),
        *,
        max_new_tokens: int | None = None,
        settings: GenerationSettings | None = None,
        cancel: Cancel | None = None,
    ) -> Answer:
        """The answer to a question, with the pictures that come with it before its text.

        `ImageError` for a picture that cannot be read, ValueError when the question is empty or the
        conversation has outgrown the model's room, `RemoteError` when the server fails. The
        conversation then stays as it was.
        """
        return self.stream(
            question, frames, max_new_tokens=max_new_tokens, settings=settings, cancel=cancel
        ).read()

    def stream(
        self,
        question: str,
        frames: Iterable[ImageSource | Keyframe] = (),
        *,
        max_new_tokens: int | None = None,
        settings: GenerationSettings | None = None,
        cancel: Cancel | None = None,
    ) -> Reply:
        """The same answer in pieces, as they are written.

        The turn is part of the conversation when the answer is over. One that was closed, or is
        still open when something else is asked, stays with what was written of it; one of which
        nothing was written has not been asked.
        """
        self._close()
        seen = as_keyframes(frames)
        asked = put_question(question, seen)

        def begin() -> Any:
            return self._stream(
                [*self._messages, asked],
                max_new_tokens=max_new_tokens,
                settings=settings or self._settings,
                cancel=cancel,
            )

        def remember(answer: Answer) -> None:
            if answer.text or answer.ending != "cancelled":
                self._messages += [asked, {"role": "assistant", "content": answer.text}]
                self._frames += seen

        self._open = Reply(seen, begin, remember)
        return self._open

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


def put_question(question: str, frames: Sequence[Keyframe]) -> Message:
    """The turn of a question: its pictures, and the text after them. ValueError without a text."""
    if not question.strip():
        raise ValueError("expected a question, got an empty text")
    parts: list[dict[str, Any]] = [{"type": "image", "image": own.image} for own in frames]
    return {"role": "user", "content": [*parts, {"type": "text", "text": question}]}
