"""Conversations about the embedded world, made while one trains on them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlcd.core.language.messages import Message
from mlcd.playroom import conversations as playroom
from mlcd.playroom.conversations import SIZE, Curriculum
from mlcd.playroom.questions import Kind
from mlcd.training.data.conversations import Conversation


@dataclass(frozen=True, kw_only=True, slots=True)
class PlayroomConversations:
    """A `ConversationSource` of captions or of questions, from easy scenes to full ones."""

    about: Literal["captions", "questions"]
    count: int
    seed: int = 0
    size: int = SIZE
    """Pixels of a picture's shorter side."""
    most_turns: int = 6
    """Questions about one picture."""
    curriculum: Curriculum = field(default_factory=Curriculum)
    weights: Mapping[Kind, float] = field(default_factory=dict)
    """How often each kind of question comes up, 1 where nothing is said."""
    caption_share: float = 0.0
    """Of the conversations of questions, how many end with a caption."""

    def __len__(self) -> int:
        return self.count

    def read(self, index: int) -> Conversation:
        """Conversation `index`, drawn when it is asked for."""
        if self.about == "captions":
            made = playroom.caption(self.seed, index, size=self.size, curriculum=self.curriculum)
        else:
            made = playroom.conversation(
                self.seed,
                index,
                size=self.size,
                most_turns=self.most_turns,
                curriculum=self.curriculum,
                weights=self.weights,
                caption_share=self.caption_share,
            )
        messages: list[Message] = []
        for number, turn in enumerate(made.turns):
            place = [{"type": "image"}] if number == 0 else []
            asked = turn.question if number else f"\n{turn.question}"
            messages += [
                {"role": "user", "content": [*place, {"type": "text", "text": asked}]},
                {"role": "assistant", "content": turn.answer},
            ]
        name = f"{self.about}-{self.seed}-{index}"
        return Conversation(name=name, messages=messages, pictures=[made.image], keys=[name])

    def has_pictures(self) -> NDArray[np.bool_]:
        """All of them are about a picture, (N,)."""
        return np.ones(self.count, np.bool_)

    def digest(self) -> str:
        """Of the settings, from which everything follows."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
