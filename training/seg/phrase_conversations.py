"""Phrases with masks as conversations."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlcd.apps.seg.config import ABSENT, ANSWER, PHRASE, QUESTION, SEG
from mlcd.core.datasets.referring_set import Phrase, ReferredImage, ReferringSet
from mlcd.core.language.messages import Message
from mlcd.core.masks import Mask
from mlcd.training.data.conversations import Conversation


@dataclass(frozen=True, kw_only=True, slots=True)
class SegWords:
    """In which words a segmentation model is asked and answers."""

    question: str = QUESTION
    answer: str = ANSWER
    absent: str = ABSENT
    """Where what the phrase says is not in the picture."""

    def __post_init__(self) -> None:
        if self.question.count(PHRASE) != 1 or self.answer.count(SEG) != 1 or SEG in self.absent:
            raise ValueError(
                f"expected {PHRASE} in the question and {SEG} in the answer, once each, and no "
                f"{SEG} in the answer of what is absent; got {self.question!r}, {self.answer!r} "
                f"and {self.absent!r}"
            )

    def turns(self, phrases: Sequence[tuple[str, bool]]) -> list[Message]:
        """A turn for each phrase and whether it is there, the picture before the first."""
        messages: list[Message] = []
        for number, (text, is_there) in enumerate(phrases):
            asked = self.question.replace(PHRASE, " ".join(text.split()))
            place = [] if number else [{"type": "image"}]
            words = {"type": "text", "text": asked if number else f"\n{asked}"}
            messages += [
                {"role": "user", "content": [*place, words]},
                {"role": "assistant", "content": self.answer if is_there else self.absent},
            ]
        return messages


class PhraseConversations:
    """A `ConversationSource` of a set of phrases: up to `most_turns` about one picture.

    All things that a phrase means are one mask.
    """

    def __init__(
        self, phrases: ReferringSet, *, words: SegWords | None = None, most_turns: int = 4
    ) -> None:
        """ValueError unless there is at least one turn."""
        if most_turns < 1:
            raise ValueError(f"expected most_turns >= 1, got {most_turns}")
        self._set, self._words = phrases, words or SegWords()
        self._most_turns = most_turns
        self._groups: list[tuple[ReferredImage, Sequence[Phrase]]] = [
            (image, own[first : first + most_turns])
            for image, own in phrases.by_image()
            for first in range(0, len(own), most_turns)
        ]

    def __len__(self) -> int:
        return len(self._groups)

    def read(self, index: int) -> Conversation:
        """Conversation `index`, its masks decoded; ValueError names the phrase of a broken one."""
        image, phrases = self._groups[index]
        each = [(phrase, phrase.mask()) for phrase in phrases]
        masks: list[Mask] = [mask for _, mask in each if mask is not None]
        return Conversation(
            name=f"{self._set.name} {phrases[0].id}",
            messages=self._words.turns([(phrase.text, m is not None) for phrase, m in each]),
            pictures=[image.path],
            keys=[str(image.path)],
            masks=masks,
        )

    def has_pictures(self) -> NDArray[np.bool_]:
        """All of them are about a picture, (N,)."""
        return np.ones(len(self), np.bool_)

    def digest(self) -> str:
        """Of the set, and of how it is asked."""
        said = f"{self._set.digest} {self._words} {self._most_turns}"
        return hashlib.sha256(said.encode()).hexdigest()
