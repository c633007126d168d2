"""Writes episodes as an OpenEQA: `core/datasets/openeqa.py` has the layout.

    open-eqa-v0.json           the questions to test with
    train.json                 questions about other episodes, to learn from
    frames/<source>/<episode>/00000-rgb.png ...

Sources: `playroom-train`; `playroom-v0`, new episodes; `playroom-style-v0`, new episodes in the art
style that language training never showed.
"""

from __future__ import annotations

import shutil
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from mlcd.core.datasets.openeqa import SUFFIX, OpenEqaQuestion, write_openeqa
from mlcd.core.files import atomic_folder
from mlcd.playroom.conversations import TRAINING_STYLE
from mlcd.playroom.episode_questions import ask_about
from mlcd.playroom.episodes import STORIES, episode
from mlcd.playroom.set_files import all_done
from mlcd.playroom.things import STYLES, Style
from mlcd.playroom.watching import watch

QUESTIONS, TRAINING, FRAMES = "open-eqa-v0.json", "train.json", "frames"
_TEST_EPISODES = 1_000_000
"""Episodes of the tests are counted from here: training never sees one of them."""
_NAMESPACE = uuid.UUID("5c1c8a4e-6f0b-5d0e-9a57-3f4f7f0a2b11")
_STREAM = 41


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenEqaSet:
    """What is written; the same settings give the same files."""

    train: int = 200
    """Episodes to learn from."""
    test: int = 40
    """Episodes of each of the two test sources."""
    per_episode: int = 10
    """Most questions about one episode."""
    num_frames: int = 32
    length_s: float = 12.0
    size: int = 192
    """Side of a frame, in pixels."""
    seed: int = 0


def write_playroom_openeqa(
    root: Path,
    settings: OpenEqaSet = OpenEqaSet(),
    *,
    workers: int = 1,
    on_episode: Callable[[int, int], None] | None = None,
) -> dict[str, dict[str, int]]:
    """Write the set into `root`, the questions last; the number of questions of each source, by
    category.

    ValueError when the set is already there. `on_episode(done, total)` reports.
    """
    if (root / QUESTIONS).exists():
        raise ValueError(f"{root} holds a set already; remove it or choose another folder")
    other: Style = next(style for style in STYLES if style != TRAINING_STYLE)
    jobs = [
        partial(_write_episode, root, settings, source, index, style)
        for source, style, first, count in (
            ("playroom-train", TRAINING_STYLE, 0, settings.train),
            ("playroom-v0", TRAINING_STYLE, _TEST_EPISODES, settings.test),
            ("playroom-style-v0", other, 2 * _TEST_EPISODES, settings.test),
        )
        for index in range(first, first + count)
    ]
    questions: list[OpenEqaQuestion] = []
    for done, made in enumerate(all_done(jobs, workers), start=1):
        questions += made
        if on_episode is not None:
            on_episode(done, len(jobs))
    counts: dict[str, Counter[str]] = {}
    for question in questions:
        counts.setdefault(question.source, Counter())[question.category] += 1
    is_training = [question.source == "playroom-train" for question in questions]
    for name, wanted in ((TRAINING, True), (QUESTIONS, False)):
        own = [q for q, is_train in zip(questions, is_training, strict=True) if is_train == wanted]
        write_openeqa(root / name, own)
    return {source: dict(own) for source, own in counts.items()}


def _write_episode(
    root: Path, settings: OpenEqaSet, source: str, index: int, style: Style
) -> list[OpenEqaQuestion]:
    """The frames of one episode, whole or not there, and what is asked about it."""
    name = f"{source}/{index % _TEST_EPISODES:05d}"
    made = episode(
        settings.seed,
        index,
        story=STORIES[index % len(STORIES)],
        style=style,
        num_frames=settings.num_frames,
        frames_per_s=settings.num_frames / settings.length_s,
        size=(settings.size, settings.size),
    )
    watched = watch(made, range(settings.num_frames))
    shutil.rmtree(root / FRAMES / name, ignore_errors=True)  # of a run that was interrupted
    with atomic_folder(root / FRAMES / name) as folder:
        for number, image in zip(watched.numbers, watched.images, strict=True):
            Image.fromarray(image).save(folder / f"{number:05d}{SUFFIX}", compress_level=1)
    random = np.random.default_rng((settings.seed, _STREAM, index))
    return [
        OpenEqaQuestion(
            id=str(uuid.uuid5(_NAMESPACE, f"{settings.seed}/{name}/{question.text}")),
            text=question.text,
            answer=question.answer,
            extra_answers=question.extra_answers,
            category=question.category,
            episode=name,
        )
        for question in ask_about(watched, random, most=settings.per_episode)
    ]
