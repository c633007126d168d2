"""Answers that are written together, each of which may begin and be given up at any time.

What a server needs: a new question does not wait for the answers in hand. `generate_batch` writes
answers that all begin at once.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from mlcd.core.language.answer import Answer
from mlcd.core.language.decoder import predict, run_decoder
from mlcd.core.language.key_values import KeyValues

if TYPE_CHECKING:
    from mlcd.core.language.vlm import VisionLanguageModel

DEFAULT_CHUNK = 512
"""Tokens of prompts in one step: enough for fast products, and answers in hand hardly wait."""


class Written(NamedTuple):
    """What one step did to one answer."""

    answer: Answer
    piece: str
    """Its new text; often nothing."""
    error: ValueError | None = None
    """Why the answer cannot go on, such as logits that are not numbers."""


class _Row:
    """A sequence of the batch: its answer, and what of its prompt has not been read, (L, D)."""

    def __init__(self, answer: Answer, unread: Tensor) -> None:
        self.answer, self.unread = answer, unread

    def read(self, most: int) -> Tensor:
        """The next tokens of the prompt, at most so many."""
        part, self.unread = self.unread[:most], self.unread[most:]
        return part


class AnswerBatch:
    """Greedy answers are those written alone, token for token in float32. For one thread.

    Long prompts are read in pieces between which the others write on, in the order they came.
    """

    def __init__(self, vlm: VisionLanguageModel, *, chunk: int = DEFAULT_CHUNK) -> None:
        if chunk < 1:
            raise ValueError(f"chunk: expected at least 1 token, got {chunk}")
        self._vlm, self._chunk = vlm, chunk
        self._waiting: deque[_Row] = deque()
        self._rows: list[_Row] = []
        self._seen = KeyValues(vlm.language.config, 0)

    def __len__(self) -> int:
        """Answers that are not over."""
        return sum(row.answer.ending is None for row in (*self._rows, *self._waiting))

    def add(self, prompt: Tensor, answer: Answer) -> None:
        """Begin an answer with the next steps: the tokens of its prompt, (L, D) with L > 0.

        To give it up, `answer.finish("cancelled")` between two steps.
        """
        self._waiting.append(_Row(answer, prompt))

    def clear(self) -> None:
        """Forget all answers and what they have seen."""
        self._waiting.clear()
        self._rows = []
        self._seen = KeyValues(self._vlm.language.config, 0)

    @torch.no_grad()
    def step(self) -> list[Written]:
        """One token more of every answer whose prompt has been read."""
        self._drop_those_over()
        writing = [row for row in self._rows if not len(row.unread)]
        tokens, counts = self._read_prompts()
        if writing:
            last = torch.tensor([row.answer.ids[-1] for row in writing], dtype=torch.int64)
            tokens.insert(0, self._vlm.embed(last))
        if not tokens:
            return []
        counts = [1] * len(writing) + counts
        language = self._vlm.language
        logits = predict(language, run_decoder(language, torch.cat(tokens), counts, self._seen))
        return [
            _take(row.answer, own)
            for row, own in zip(self._rows, logits, strict=True)
            if not len(row.unread)
        ]

    def _drop_those_over(self) -> None:
        self._waiting = deque(row for row in self._waiting if row.answer.ending is None)
        kept = [number for number, row in enumerate(self._rows) if row.answer.ending is None]
        if not kept:  # frees the memory that the longest has needed
            self._rows, self._seen = [], KeyValues(self._vlm.language.config, 0)
        elif len(kept) < len(self._rows):
            self._seen.select(kept)
            self._rows = [self._rows[number] for number in kept]

    def _read_prompts(self) -> tuple[list[Tensor], list[int]]:
        """The tokens of prompts for one step, (L_i, D), and how many of each.

        Rows that are reading stand behind those that write: a prompt that is not read to its end
        is the last, since the next begins only where one ends.
        """
        room = self._chunk
        parts: list[Tensor] = []
        reading = [row for row in self._rows if len(row.unread)]
        while room > 0 and (reading or self._waiting):
            row = reading.pop(0) if reading else self._begin_next()
            parts.append(row.read(room))
            room -= len(parts[-1])
        return parts, [len(part) for part in parts]

    def _begin_next(self) -> _Row:
        row = self._waiting.popleft()
        self._rows.append(row)
        self._seen.add_row()
        return row


def _take(answer: Answer, logits: Tensor) -> Written:
    try:
        return Written(answer, answer.take(logits))
    except ValueError as error:  # of this answer alone: the others go on
        answer.finish("cancelled")
        return Written(answer, "", error)
