"""RoboVQA: a model answers questions about a robot's videos, scored in three ways.

BLEU of the three scorers (`bleu.py`) does not compare, so each number carries its scorer's name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from mlcd.apps.embodied.asking import Ask, Shown, Style
from mlcd.apps.embodied.bleu import SCORERS, ScorerName, score_bleu
from mlcd.apps.embodied.published import published_robovqa
from mlcd.core.answers import normalise_answer
from mlcd.core.datasets.robovqa import (
    RoboVqaQuestion,
    RoboVqaVideo,
    read_robovqa,
    rewrite_question,
)
from mlcd.core.images import read_image
from mlcd.core.images.sheet import draw_strip
from mlcd.core.results import Evaluation, Picture, Result, Stamp, Table
from mlcd.core.results.exhibits import Cell
from mlcd.core.results.sample_log import Sample

YES_NO = "yes/no accuracy"
_WORST = 12
_ORDERS = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4")


@dataclass(frozen=True, kw_only=True, slots=True)
class RoboVqaSettings:
    """What is shown and how it is asked."""

    every: int = 2
    """Of the stored frames; every second of 16 gives MLCD's 8."""
    shown: Shown = "episode"
    style: Style = "plain"
    is_rewritten: bool = True
    """Whether terse questions become sentences, as MLCD rewrote them."""
    max_new_tokens: int = 128

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every: expected at least 1, got {self.every}")


def answer_robovqa(
    root: Path,
    ask: Ask,
    folder: Path,
    *,
    model: str,
    weights_sha256: str,
    settings: RoboVqaSettings,
    most_videos: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Answer all questions below `root`, or go on where an earlier run into `folder` was killed.

    The files are read twice: once for what is asked and its checksums, then video by video.
    ValueError as `read_robovqa` has it, before anything is asked.
    """
    census = _take_census(root, most_videos)
    stamp = Stamp(
        task="robovqa",
        protocol=protocol_sentence(census.num_questions, census.num_videos, settings),
        model=model,
        weights_sha256=weights_sha256,
        data_sha256=census.sha256,
        seed=0,
        settings=asdict(settings),
    )
    with Evaluation.open(folder, stamp, num_samples=census.num_questions) as evaluation:
        if evaluation.result is not None:
            return evaluation.result
        for video in _videos(root, most_videos):
            left = [question for question in video.questions if question.id not in evaluation.done]
            frames = [read_image(data) for data in _shown(video, settings)] if left else []
            for question in left:
                text = rewrite_question(question.text) if settings.is_rewritten else question.text
                evaluation.add(measure_answer(question, ask(frames, text)))
                if progress is not None:
                    progress(len(evaluation.done), census.num_questions)
        samples = evaluation.samples()
        return evaluation.finish(
            summarize(samples),
            summarize=summarize,
            tables=[_table(samples)],
            pictures=_worst(evaluation.worst(_WORST), root, settings),
            published=published_robovqa(census.num_videos),
        )


def measure_answer(question: RoboVqaQuestion, prediction: str) -> Sample:
    """What `samples.jsonl` holds of an answer. `score`: the mean of the four BLEUs of `mlcd`."""
    bleu = {scorer: score_bleu(prediction, question.answer, scorer) for scorer in SCORERS}
    said = normalise_answer(prediction).partition(" ")[0]
    return {
        "id": question.id,
        "score": min(1.0, sum(bleu["mlcd"]) / 4),
        "family": question.family,
        "task": question.task,
        "question": question.text,
        "answer": question.answer,
        "prediction": prediction,
        "bleu": {scorer: list(scores) for scorer, scores in bleu.items()},
        "is_right": float(said == question.answer.lower()) if question.is_binary else None,
    }


def summarize(samples: Sequence[Sample]) -> dict[str, float]:
    """Of each scorer BLEU-1 to BLEU-4 and their mean, 0 to 1; yes/no accuracy; both by family.

    `free answers` is without the questions of yes and no, which are most and short.
    """
    metrics = _bleu(samples)
    free = [sample for sample in samples if sample["is_right"] is None]
    if free and len(free) < len(samples):
        metrics |= {f"{name}, free answers": value for name, value in _bleu(free).items()}
    metrics |= _accuracy(samples, YES_NO)
    for family in sorted({sample["family"] for sample in samples}):
        own = [sample for sample in samples if sample["family"] == family]
        metrics |= {f"{name}: {family}": value for name, value in _bleu(own, ("mlcd",)).items()}
        metrics |= _accuracy(own, f"{YES_NO}: {family}")
    return metrics


def protocol_sentence(num_questions: int, num_videos: int, settings: RoboVqaSettings) -> str:
    """What is measured, so that a stranger can do the same."""
    how = {
        "episode": "all its frames" if settings.every == 1 else f"one of {settings.every} frames",
        "single": "the last frame alone",
        "none": "no frame shown",
    }[settings.shown]
    rewritten = "terse questions as MLCD rewrote them" if settings.is_rewritten else "as published"
    return (
        f"RoboVQA: {num_questions:,} questions about {num_videos:,} videos, {how}; questions "
        f"{rewritten}; prompt {settings.style}; greedy, at most {settings.max_new_tokens} tokens; "
        f"BLEU by three scorers that do not compare; mean over questions"
    )


@dataclass(frozen=True, slots=True)
class _Census:
    num_videos: int
    num_questions: int
    sha256: str


def _take_census(root: Path, most_videos: int | None) -> _Census:
    """How much there is to ask, with a digest of all of it, frames included."""
    digest, videos, questions = hashlib.sha256(), 0, 0
    for video in _videos(root, most_videos):
        videos, questions = videos + 1, questions + len(video.questions)
        for frame in video.frames:
            digest.update(hashlib.sha256(frame).digest())
        said = [[q.task, q.text, q.answer] for q in video.questions]
        digest.update(json.dumps(said).encode())
    if not questions:
        raise ValueError(f"{root}: no question in it; expected RoboVQA's tfrecords")
    return _Census(videos, questions, digest.hexdigest())


def _videos(root: Path, most: int | None) -> Iterator[RoboVqaVideo]:
    return islice(read_robovqa(root), most)


def _shown(video: RoboVqaVideo, settings: RoboVqaSettings) -> Sequence[bytes]:
    if settings.shown == "none":
        return ()
    return video.frames[-1:] if settings.shown == "single" else video.frames[:: settings.every]


def _bleu(samples: Sequence[Sample], scorers: Sequence[ScorerName] = SCORERS) -> dict[str, float]:
    found: dict[str, float] = {}
    for scorer in scorers:
        rows = [sample["bleu"][scorer] for sample in samples]
        means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        found |= {f"{scorer} BLEU-{order}": mean for order, mean in enumerate(means, start=1)}
        found[f"{scorer} mean"] = sum(means) / len(means)
    return found


def _accuracy(samples: Sequence[Sample], name: str) -> dict[str, float]:
    rights = [sample["is_right"] for sample in samples if sample["is_right"] is not None]
    return {name: sum(rights) / len(rights)} if rights else {}


def _table(samples: Sequence[Sample]) -> Table:
    rows: list[list[Cell]] = []
    for family in sorted({sample["family"] for sample in samples}):
        own = [sample for sample in samples if sample["family"] == family]
        rows.append([family, len(own), *_bleu(own).values(), _accuracy(own, "").get("")])
    columns = [f"{scorer} {what}" for scorer in SCORERS for what in (*_ORDERS, "mean")]
    return Table(
        title="By task family", columns=["family", "questions", *columns, YES_NO], rows=rows
    )


def _worst(samples: Sequence[Sample], root: Path, settings: RoboVqaSettings) -> list[Picture]:
    """The worst answers, each with a few frames of its video side by side."""
    wanted = {int(sample["id"].partition("-")[0]) for sample in samples}
    videos = {video.number: video for video in read_robovqa(root) if video.number in wanted}
    shown: list[Picture] = []
    for sample in samples:
        frames = _shown(videos[int(sample["id"].partition("-")[0])], settings)
        if not frames or sample["score"] == 1:
            continue
        step = max(1, len(frames) // 4)
        strip = draw_strip([read_image(data) for data in frames[::step]])
        caption = f"{sample['question']} {sample['answer']}; said: {sample['prediction'][:80]}"
        shown.append(Picture(image=strip, caption=caption))
    return shown
