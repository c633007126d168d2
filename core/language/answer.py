"""One answer while it is written: its tokens, its text, and when it is over."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING

from torch import Tensor

from mlcd.core.language.backend import Ending
from mlcd.core.language.generation_settings import GenerationSettings
from mlcd.core.language.sampling import TokenChooser
from mlcd.core.language.text_stream import TextStream

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Answer:
    """An answer of at most `room` tokens, ended by one of `ends`."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        settings: GenerationSettings,
        *,
        ends: Set[int],
        stop: tuple[str, ...],
        room: int,
    ) -> None:
        self._chooser, self._stream = TokenChooser(settings), TextStream(tokenizer, stop)
        self._ends, self._room = ends, room
        self.ids: list[int] = []
        """The tokens so far, without the one that ended the answer."""
        self.ending: Ending | None = None
        """Why it is over; None while it is not."""

    def take(self, logits: Tensor) -> str:
        """Choose the next token from its logits (V,): the text that is certain with it."""
        token = self._chooser.choose(logits, self.ids)
        if token in self._ends:
            return self.finish("end")
        self.ids.append(token)
        piece = self._stream.add(token)
        if self._stream.is_stopped:
            self.ending = "stop"
        elif len(self.ids) >= self._room:
            piece += self.finish("length")
        return piece

    def finish(self, ending: Ending) -> str:
        """Be over: the text that was still held back."""
        piece = self._stream.finish()
        self.ending = "stop" if self._stream.is_stopped else ending
        return piece
