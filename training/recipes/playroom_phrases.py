"""Phrases about the embedded world with the masks of what they mean, made while one trains."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from mlcd.core.masks import Mask
from mlcd.playroom.conversations import SIZE
from mlcd.playroom.referring import Part, Task, phrased, referring_scene
from mlcd.training.data.conversations import Conversation
from mlcd.training.seg.phrase_conversations import SegWords


@dataclass(frozen=True, kw_only=True, slots=True)
class PlayroomPhrases:
    """A `ConversationSource` of phrases, in the words of the tasks by their weights."""

    count: int
    seed: int = 0
    size: int = SIZE
    """Pixels of a picture's shorter side."""
    part: Part = "train"
    most_phrases: int = 6
    """About one picture."""
    words: SegWords = field(default_factory=SegWords)
    weights: Mapping[Task, float] = field(
        default_factory=lambda: {"refcoco": 1.0, "refcoco+": 1.5, "refcocog": 1.0, "grefcoco": 1.0}
    )
    """How often each task comes up."""

    def __len__(self) -> int:
        return self.count

    def read(self, index: int) -> Conversation:
        """Conversation `index`, drawn when it is asked for."""
        tasks = list(self.weights)
        chances = np.asarray([self.weights[task] for task in tasks])
        random = np.random.default_rng((self.seed, index))
        task = tasks[int(random.choice(len(tasks), p=chances / chances.sum()))]
        scene = referring_scene(self.seed, index, part=self.part, size=self.size)
        made = phrased(
            scene, self.seed, index, task=task, part=self.part, most_phrases=self.most_phrases
        )
        masks: list[Mask] = []
        turns: list[tuple[str, bool]] = []
        for number in random.permutation(len(made.phrases)).tolist():
            phrase = made.phrases[number]
            if phrase.targets:
                meant = [made.things[target].mask for target in phrase.targets]
                masks.append(np.logical_or.reduce(meant))
            turns.append((phrase.text, bool(phrase.targets)))
        name = f"phrases-{self.seed}-{index}"
        return Conversation(
            name=name,
            messages=self.words.turns(turns),
            pictures=[made.image],
            keys=[name],
            masks=masks,
        )

    def has_pictures(self) -> NDArray[np.bool_]:
        """All of them are about a picture, (N,)."""
        return np.ones(self.count, np.bool_)

    def digest(self) -> str:
        """Of the settings, from which everything follows."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
