"""Token ids to text while they come: whole characters only, and nothing past a stop text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlcd.core.language.tokens import decode_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_INCOMPLETE = "\ufffd"
"""What a decoder gives for the first bytes of a character."""


class TextStream:
    """The pieces that it gives, joined, are the text of all ids up to the first stop text."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop: Sequence[str] = ()) -> None:
        self._tokenizer, self._stop = tokenizer, tuple(stop)
        self._ids: list[int] = []
        # ids before `_done` are text already; those from `_start` on are decoded with the new
        # ones, since some decoders write a word differently where a text begins
        self._start = self._done = 0
        self._held = ""
        self.is_stopped = False
        """Whether a stop text has come: nothing follows."""

    def add(self, token: int) -> str:
        """The text that is certain with one more id; often nothing."""
        self._ids.append(token)
        text = decode_ids(self._tokenizer, self._ids[self._start :])
        if text.endswith(_INCOMPLETE):
            return ""
        return self._release(self._fresh(text))

    def finish(self) -> str:
        """The text that was held back: an incomplete character, the beginning of a stop text."""
        piece = self._release(self._fresh(decode_ids(self._tokenizer, self._ids[self._start :])))
        rest, self._held = self._held, ""
        return piece + rest

    def _fresh(self, text: str) -> str:
        """What the ids after `_done` add, which are done then."""
        before = decode_ids(self._tokenizer, self._ids[self._start : self._done])
        self._start, self._done = self._done, len(self._ids)
        return text[len(before) :]

    def _release(self, fresh: str) -> str:
        """What of the text so far can be no part of a stop text."""
        if self.is_stopped:
            return ""
        text = self._held + fresh
        found = [place for place in (text.find(stop) for stop in self._stop) if place >= 0]
        if found:
            self.is_stopped, self._held = True, ""
            return text[: min(found)]
        kept = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]


def _overlap(text: str, stop: str) -> int:
    """How much of the end of `text` is a beginning of `stop`."""
    lengths = range(min(len(text), len(stop) - 1), 0, -1)
    return next((length for length in lengths if text.endswith(stop[:length])), 0)
