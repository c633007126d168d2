"""Writes episodes as a RoboVQA: tfrecords of clips, each with its questions.

    tfrecord/train/train-00000-of-00004      other episodes, to learn from
    tfrecord/val/val-00000-of-00001 ...      the questions to test with
    tfrecord/style/...                       the same, in an art style that training never showed

`core/datasets/robovqa.py` has the records' form.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from mlcd.core.datasets.robovqa import build_record, family_of
from mlcd.core.datasets.tfrecord import write_records
from mlcd.core.images import Image as Picture
from mlcd.playroom.conversations import TRAINING_STYLE
from mlcd.playroom.episodes import episode, render_frame
from mlcd.playroom.robot_tasks import clip_frames, clips, tasks
from mlcd.playroom.set_files import all_done
from mlcd.playroom.things import STYLES, Style

FOLDER = "tfrecord"
_FRAMES_PER_S = 10.0
_TEST_EPISODES = 1_000_000
"""Episodes of the tests are counted from here: training never sees one of them."""
_STREAM = 43


@dataclass(frozen=True, kw_only=True, slots=True)
class RoboVqaSet:
    """What is written; the same settings give the same files."""

    train: int = 200
    """Episodes to learn from, of several clips each."""
    test: int = 40
    """Episodes each of the two tests."""
    frames: int = 16
    """Of each clip."""
    per_file: int = 50
    """Episodes in one tfrecord."""
    size: int = 192
    """Side of a frame, in pixels."""
    length_s: float = 12.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Job:
    split: str
    number: int
    of: int
    episodes: range
    style: Style


def write_playroom_robovqa(
    root: Path,
    settings: RoboVqaSet = RoboVqaSet(),
    *,
    workers: int = 1,
    on_file: Callable[[int, int], None] | None = None,
) -> dict[str, dict[str, int]]:
    """Write the set into `root`; the number of questions of each split, by family.

    Files are whole or not there, and those of an interrupted run are written anew. ValueError when
    the set is already there. `on_file(done, total)` reports.
    """
    other: Style = next(style for style in STYLES if style != TRAINING_STYLE)
    jobs: list[_Job] = []
    for split, style, first, count in (
        ("train", TRAINING_STYLE, 0, settings.train),
        ("val", TRAINING_STYLE, _TEST_EPISODES, settings.test),
        ("style", other, 2 * _TEST_EPISODES, settings.test),
    ):
        starts = range(first, first + count, settings.per_file)
        jobs += [
            _Job(
                split,
                number,
                len(starts),
                range(start, min(start + settings.per_file, first + count)),
                style,
            )
            for number, start in enumerate(starts)
        ]
    if all(_path(root, job).exists() for job in jobs):
        raise ValueError(f"{root} holds a set already; remove it or choose another folder")
    counts: dict[str, Counter[str]] = {}
    made = all_done([partial(_write_file, root, settings, job) for job in jobs], workers)
    for done, (job, own) in enumerate(zip(jobs, made, strict=True), start=1):
        counts.setdefault(job.split, Counter()).update(own)
        if on_file is not None:
            on_file(done, len(jobs))
    return {split: dict(own) for split, own in counts.items()}


def _path(root: Path, job: _Job) -> Path:
    return root / FOLDER / job.split / f"{job.split}-{job.number:05d}-of-{job.of:05d}"


def _write_file(root: Path, settings: RoboVqaSet, job: _Job) -> dict[str, int]:
    """One tfrecord; the number of its questions by family."""
    counts: Counter[str] = Counter()
    records: list[bytes] = []
    for index in job.episodes:
        made = episode(
            settings.seed,
            index,
            story="events",
            style=job.style,
            num_frames=round(settings.length_s * _FRAMES_PER_S),
            frames_per_s=_FRAMES_PER_S,
            size=(settings.size, settings.size),
        )
        random = np.random.default_rng((settings.seed, _STREAM, index))
        drawn: dict[int, bytes] = {}
        for clip in clips(made):
            asked = tasks(made, clip, random)
            numbers = clip_frames(made, clip, settings.frames)
            for number in set(numbers) - set(drawn):
                drawn[number] = _jpeg(render_frame(made, number)[0])
            records.append(build_record([drawn[number] for number in numbers], asked))
            counts.update(family_of(task) for task, _, _ in asked)
    write_records(_path(root, job), records)
    return dict(counts)


def _jpeg(image: Picture) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=92, subsampling=0)
    return file.getvalue()
