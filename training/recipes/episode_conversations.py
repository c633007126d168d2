"""Conversations about episodes of the embedded world, in the words of OpenEQA and RoboVQA."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from mlcd.core.datasets.openeqa import sample_frames
from mlcd.core.datasets.robovqa import rewrite_question
from mlcd.core.images import Image
from mlcd.core.language.messages import Message
from mlcd.playroom.conversations import TRAINING_STYLE
from mlcd.playroom.episode_questions import ask_about
from mlcd.playroom.episodes import Episode, Story, episode, render_frame
from mlcd.playroom.robot_tasks import clip_frames, clips, tasks
from mlcd.playroom.watching import watch
from mlcd.training.data.conversations import Conversation

_STREAM = 47
_LENGTH_S = 12.0
_NUM_FRAMES = 48
"""Of an episode; a few of them are shown."""

_Turn = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class EpisodeConversations:
    """A `ConversationSource`: a walk, or a clip around an event, and questions about its frames.

    No episode of the written tests is among them, nor their art style.
    """

    count: int
    seed: int = 0
    frames: int = 8
    """Frames that are shown."""
    size: int = 192
    """Side of a frame, in pixels."""
    most_turns: int = 6
    clip_share: float = 0.5
    """How many are about clips, as RoboVQA's, and not about whole episodes, as OpenEQA's."""

    def __post_init__(self) -> None:
        if self.frames < 1 or self.most_turns < 1 or not 0 <= self.clip_share <= 1:
            raise ValueError(
                "expected frames and most_turns of at least 1 and a clip_share in [0, 1], got "
                f"{self.frames}, {self.most_turns} and {self.clip_share}"
            )

    def __len__(self) -> int:
        return self.count

    def read(self, index: int) -> Conversation:
        """Conversation `index`, drawn when it is asked for."""
        random = np.random.default_rng((self.seed, _STREAM, index))
        is_clip = random.random() < self.clip_share
        images, turns = self._clip(index, random) if is_clip else self._walk(index, random)
        chosen = [turns[int(place)] for place in random.permutation(len(turns))[: self.most_turns]]
        messages: list[Message] = []
        for number, (question, answer) in enumerate(chosen):
            places = [{"type": "image"}] * len(images) if number == 0 else []
            messages += [
                {"role": "user", "content": [*places, {"type": "text", "text": question}]},
                {"role": "assistant", "content": answer},
            ]
        name = f"episodes-{self.seed}-{index}"
        return Conversation(
            name=name,
            messages=messages,
            pictures=images,
            keys=[f"{name}-{number}" for number in range(len(images))],
        )

    def has_pictures(self) -> NDArray[np.bool_]:
        """All of them are about frames, (N,)."""
        return np.ones(self.count, np.bool_)

    def digest(self) -> str:
        """Of the settings, from which everything follows."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def _walk(self, index: int, random: np.random.Generator) -> tuple[list[Image], list[_Turn]]:
        made = self._episode(index, "tour" if random.random() < 0.5 else "events")
        watched = watch(made, sample_frames(_NUM_FRAMES, self.frames))
        asked = ask_about(watched, random, most=2 * self.most_turns)
        turns = [(question.text, question.answer) for question in asked]
        return (list(watched.images), turns) if turns else self._clip(index, random)

    def _clip(self, index: int, random: np.random.Generator) -> tuple[list[Image], list[_Turn]]:
        made = self._episode(index, "events")
        found = clips(made)
        clip = found[int(random.integers(len(found)))]
        numbers: Sequence[int] = clip_frames(made, clip, self.frames)
        images = [render_frame(made, number)[0] for number in numbers]
        asked = tasks(made, clip, random)
        is_rewritten = random.random() < 0.5
        turns = [
            (rewrite_question(question) if is_rewritten else question, answer)
            for _, question, answer in asked
        ]
        return images, turns

    def _episode(self, index: int, story: Story) -> Episode:
        return episode(
            self.seed,
            index,
            story=story,
            style=TRAINING_STYLE,
            num_frames=_NUM_FRAMES,
            frames_per_s=_NUM_FRAMES / _LENGTH_S,
            size=(self.size, self.size),
        )
