"""What every application asks of a language model, be it in this process or behind an address.

`VisionLanguageModel` and `RemoteModel` both have it. Importable without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from mlcd.core.images import ImageSource
from mlcd.core.language.messages import Message

if TYPE_CHECKING:
    from mlcd.core.language.generation_settings import GenerationSettings

Ending = Literal["end", "stop", "length", "cancelled"]
"""Why an answer is over: the model ended it, a stop text came, there is no room, or it was told.
A server does not tell the first two apart: there both are `stop`."""

Cancel = Callable[[], bool]
"""Asked before each token, or each piece of a remote answer, whether it is no longer wanted."""


class AnswerPieces(Protocol):
    """An answer while it is written: an iterator of pieces of text; joined they are the answer."""

    def __iter__(self) -> Iterator[str]: ...

    def __next__(self) -> str: ...

    def close(self) -> None:
        """Compute nothing more."""
        ...

    @property
    def ending(self) -> Ending | None:
        """Why the answer is over; None while it is not."""
        ...

    @property
    def num_prompt_tokens(self) -> int | None:
        """Tokens before the answer, pictures included; None where a server has not said it."""
        ...

    @property
    def num_tokens(self) -> int | None:
        """Tokens of the answer so far; None where a server has not said it."""
        ...


class LanguageBackend(Protocol):
    """Pictures and a conversation in, an answer out."""

    @property
    def name(self) -> str:
        """What reports call the model."""
        ...

    def generate(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int | None = None,
        images: Sequence[ImageSource] = (),
        settings: GenerationSettings | None = None,
        cancel: Cancel | None = None,
    ) -> str:
        """The answer to a conversation, greedy unless the settings say otherwise.

        `max_new_tokens` goes before that of the settings; `images` are for the image parts of the
        messages that come without one. ValueError when the messages are no conversation or the
        model has no room for them, `ImageError` for a picture that cannot be read.
        """
        ...

    def stream(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int | None = None,
        images: Sequence[ImageSource] = (),
        settings: GenerationSettings | None = None,
        cancel: Cancel | None = None,
    ) -> AnswerPieces:
        """The same answer in pieces, as they are written."""
        ...
