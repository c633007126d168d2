"""A vision-language model that is asked about what a robot sees, here or at a server."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlcd.apps.embodied.chat import Chat, put_question
from mlcd.apps.embodied.keyframes import Keyframe, as_keyframes
from mlcd.apps.embodied.reply import Answer, Reply, stream_of
from mlcd.core.images import ImageSource
from mlcd.core.language.backend import Cancel, LanguageBackend
from mlcd.core.language.generation_settings import GenerationSettings
from mlcd.core.language.remote import RemoteModel

if TYPE_CHECKING:
    import torch


class Assistant:
    """Answers questions about frames. With a model in this process for one thread at a time; with
    one at a server for as many as ask.
    """

    def __init__(
        self, backend: LanguageBackend, settings: GenerationSettings | None = None
    ) -> None:
        """`settings`: how answers are written where a question does not say it."""
        self.backend, self.settings = backend, settings
        self._stream = stream_of(backend)

    @classmethod
    def load(
        cls,
        model: str | Path,
        *,
        name: str | None = None,
        api_key: str | None = None,
        device: torch.device | str | None = None,
        bits: Literal[4, 8] | None = None,
        settings: GenerationSettings | None = None,
    ) -> Assistant:
        """The model of an embedded name, a folder, a hub id or a server's address; see
        `load_backend`.
        """
        backend = load_backend(model, name=name, api_key=api_key, device=device, bits=bits)
        return cls(backend, settings)

    def ask(
        self,
        frames: Iterable[ImageSource | Keyframe],
        question: str,
        *,
        max_new_tokens: int | None = None,
        settings: GenerationSettings | None = None,
        cancel: Cancel | None = None,
    ) -> Answer:
        """The answer to one question about frames, in the order they were seen.

        Frames that were asked about last time are not encoded again. `ImageError` for a frame that
        cannot be read; ValueError without a frame or a question, or when they do not fit into the
        model's room; `RemoteError` when the server fails.
        """
        return self.stream(
            frames, question, max_new_tokens=max_new_tokens, settings=settings, cancel=cancel
        ).read()

    def stream(
        self,
        frames: Iterable[ImageSource | Keyframe],
        question: str,
        *,
        max_new_tokens: int | None = None,
        settings: GenerationSettings | None = None,
        cancel: Cancel | None = None,
    ) -> Reply:
        """The same answer in pieces, as they are written."""
        seen = as_keyframes(frames)
        if not seen:
            raise ValueError(
                "expected at least one frame to be asked about, got none: has the camera sent any? "
                "(chat() takes questions without pictures)"
            )
        messages = [put_question(question, seen)]
        return Reply(
            seen,
            lambda: self._stream(
                messages,
                max_new_tokens=max_new_tokens,
                settings=settings or self.settings,
                cancel=cancel,
            ),
        )

    def chat(self, settings: GenerationSettings | None = None) -> Chat:
        """A conversation of its own, that begins without pictures."""
        return Chat(stream_of(self.backend), settings or self.settings)


def load_backend(
    model: str | Path,
    *,
    name: str | None = None,
    api_key: str | None = None,
    device: torch.device | str | None = None,
    bits: Literal[4, 8] | None = None,
) -> LanguageBackend:
    """The model of an embedded name, a folder, a hub id, or a server's address (http://HOST:PORT).

    `name` and `api_key` are for a server: which of its models, and the key that it asks for;
    `device` and `bits` (see `quantize`) for a model in this process. ValueError for what belongs to
    the other kind; a server is asked nothing yet, and needs no torch here.
    """
    if is_address(model):
        if device is not None or bits is not None:
            raise ValueError(f"{model}: a server has its own device and bits: leave them out")
        return RemoteModel(str(model), name, api_key=api_key)
    if name is not None or api_key is not None:
        raise ValueError(
            f"{model}: a name and a key are for models at a server; expected an address like "
            "http://127.0.0.1:8000"
        )
    from mlcd.core.language import load_vlm
    from mlcd.core.language.quantize import quantize

    vlm = load_vlm(model, device=device)
    return vlm if bits is None else quantize(vlm, bits)


def is_address(model: str | Path) -> bool:
    """Whether a model is named by its server's address."""
    return str(model).startswith(("http://", "https://"))
