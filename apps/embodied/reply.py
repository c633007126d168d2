"""An answer while it is written, with the time it took, and when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from mlcd.apps.embodied.keyframes import Keyframe
from mlcd.core.language.backend import AnswerPieces, Cancel, Ending, LanguageBackend
from mlcd.core.language.generation_settings import GenerationSettings
from mlcd.core.language.messages import Message
from mlcd.core.language.remote import RemoteModel


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What was said about frames, and what it took."""

    text: str
    frames: tuple[Keyframe, ...]
    """The frames that came with this question, in their order."""
    num_tokens: int | None
    """Of the answer; None where a server has not said it."""
    first_token_s: float | None
    """From the question to the first piece of text; None of an answer without text."""
    total_s: float
    """From the question to the end; a reader who takes pieces slowly counts too."""
    ending: Ending | None
    """Why it is over."""


class Reply(Iterator[str]):
    """The pieces of an answer, each computed when it is asked for; joined they are its text."""

    def __init__(
        self,
        frames: Sequence[Keyframe],
        begin: Callable[[], AnswerPieces],
        at_end: Callable[[Answer], None] | None = None,
    ) -> None:
        """`at_end` is told the answer once: when it is over or was closed, and not when it broke
        off with an error.
        """
        self._start_s = time.perf_counter()
        self._frames, self._at_end = tuple(frames), at_end
        self._texts: list[str] = []
        self._first_token_s: float | None = None
        self._answer: Answer | None = None
        self._is_broken = False
        self._pieces = begin()

    def __next__(self) -> str:
        try:
            piece = next(self._pieces)
        except StopIteration:
            self._end()
            raise
        except Exception:
            self._is_broken = True
            raise
        if self._first_token_s is None:
            self._first_token_s = time.perf_counter() - self._start_s
        self._texts.append(piece)
        return piece

    def close(self) -> None:
        """Compute nothing more; what was written so far is the answer."""
        self._pieces.close()
        self._end()

    def read(self) -> Answer:
        """The answer, written to its end. ValueError of one that broke off before."""
        for _ in self:
            pass
        if self._answer is None:
            raise ValueError("this answer broke off with an error: ask again")
        return self._answer

    @property
    def answer(self) -> Answer | None:
        """The answer when it is over; None while it is not."""
        return self._answer

    def _end(self) -> None:
        if self._answer is not None or self._is_broken:
            return
        self._answer = Answer(
            "".join(self._texts),
            self._frames,
            self._pieces.num_tokens,
            self._first_token_s,
            time.perf_counter() - self._start_s,
            self._pieces.ending,
        )
        if self._at_end is not None:
            self._at_end(self._answer)


class Stream(Protocol):
    """`LanguageBackend.stream`, as far as an assistant needs it."""

    def __call__(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int | None = None,
        settings: GenerationSettings | None = None,
        cancel: Cancel | None = None,
    ) -> AnswerPieces:
        """The answer to a conversation, in pieces."""
        ...


def stream_of(backend: LanguageBackend) -> Stream:
    """How to ask this model. One in this process keeps what it has seen: pictures that come again
    are not encoded again, nor a conversation read again. A server keeps what it likes.

    Without torch for a `RemoteModel`.
    """
    if isinstance(backend, RemoteModel):
        return backend.stream
    from mlcd.core.language import ConversationCache, VisionLanguageModel

    if isinstance(backend, VisionLanguageModel):
        return partial(backend.stream, cache=ConversationCache())
    return backend.stream
