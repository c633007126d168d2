"""OpenEQA: a model answers questions about episodes, into a resumable folder.

Everything that needs no judge is measured here; `openeqa_judging.py` has the answers marked.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mlcd.apps.embodied.asking import Ask, Shown, Style
from mlcd.apps.embodied.overlap import measure_overlap
from mlcd.core.datasets.openeqa import (
    FrameRule,
    OpenEqaQuestion,
    episode_frames,
    questions_sha256,
    sample_frames,
    write_predictions,
)
from mlcd.core.images import Image, read_image
from mlcd.core.images.sheet import draw_strip
from mlcd.core.results import Evaluation, Picture, Result, Stamp, Table
from mlcd.core.results.sample_log import Sample

PREDICTIONS = "predictions.json"
"""In the result's folder: the answers as the official evaluation takes them."""
MEASURES = {"exact match": "exact", "token F1": "score", "contains": "contains"}
"""Metric: field of a sample."""
_WORST = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenEqaSettings:
    """What is shown and how it is asked."""

    num_frames: int = 32
    rule: FrameRule = "official"
    shown: Shown = "episode"
    style: Style = "plain"
    max_new_tokens: int = 128
    allow_gaps: bool = False


def answer_openeqa(
    questions: Sequence[OpenEqaQuestion],
    frames_root: Path,
    ask: Ask,
    folder: Path,
    *,
    model: str,
    weights_sha256: str,
    settings: OpenEqaSettings,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Answer all questions, or go on where an earlier run into `folder` was killed.

    Episode by episode, so that its frames are read and encoded once. ValueError before anything
    is asked when an episode's frames are not as they should be, or the folder holds another
    measurement.
    """
    by_episode: defaultdict[str, list[OpenEqaQuestion]] = defaultdict(list)
    for question in questions:
        by_episode[question.episode].append(question)
    frames = {episode: _frames_of(frames_root, episode, settings) for episode in by_episode}
    stamp = Stamp(
        task="openeqa",
        protocol=protocol_sentence(questions, settings),
        model=model,
        weights_sha256=weights_sha256,
        data_sha256=_data_sha256(questions, frames),
        seed=0,
        settings=asdict(settings),
    )
    with Evaluation.open(folder, stamp, num_samples=len(questions)) as evaluation:
        if evaluation.result is not None:
            return evaluation.result
        for episode, own in by_episode.items():
            left = [question for question in own if question.id not in evaluation.done]
            images = [read_image(path) for path in frames[episode]] if left else []
            for question in left:
                evaluation.add(measure_answer(question, ask(images, question.text)))
                if progress is not None:
                    progress(len(evaluation.done), len(questions))
        samples = evaluation.samples()
        said = {sample["id"]: str(sample["prediction"]) for sample in samples}
        write_predictions(
            folder / PREDICTIONS, {question.id: said[question.id] for question in questions}
        )
        return evaluation.finish(
            summarize(samples),
            summarize=summarize,
            tables=[table_by_category(samples, MEASURES)],
            pictures=_worst(evaluation.worst(_WORST), frames),
        )


def measure_answer(question: OpenEqaQuestion, prediction: str) -> Sample:
    """What `samples.jsonl` holds of an answer. `score`: token F1."""
    overlap = measure_overlap(prediction, (question.answer, *question.extra_answers))
    return {
        "id": question.id,
        "score": overlap.f1,
        "exact": overlap.exact,
        "contains": overlap.contains,
        **described(question),
        "prediction": prediction,
    }


def described(question: OpenEqaQuestion) -> Sample:
    """What is kept of a question beside an answer to it."""
    return {
        "category": question.category,
        "source": question.source,
        "episode": question.episode,
        "question": question.text,
        "answer": question.answer,
        "extra_answers": list(question.extra_answers),
    }


def summarize(samples: Sequence[Sample]) -> dict[str, float]:
    """Each measure over all questions, of each category and of each source, 0 to 1."""
    metrics: dict[str, float] = {}
    for measure, field in MEASURES.items():
        metrics |= means_by_part(samples, measure, field)
    return metrics


def means_by_part(samples: Sequence[Sample], measure: str, field: str) -> dict[str, float]:
    """The mean of a field over all samples, each category and each source: every question counts
    the same.
    """
    parts: dict[str, list[float]] = {measure: [float(sample[field]) for sample in samples]}
    for part in ("category", "source"):
        for name in sorted({sample[part] for sample in samples}):
            own = [float(sample[field]) for sample in samples if sample[part] == name]
            parts[f"{measure}: {name}"] = own
    return {name: sum(values) / len(values) for name, values in parts.items() if values}


def table_by_category(samples: Sequence[Sample], measures: Mapping[str, str]) -> Table:
    """One row a category, with how many questions it has."""
    rows = []
    for category in sorted({sample["category"] for sample in samples}):
        own = [sample for sample in samples if sample["category"] == category]
        means = [
            sum(float(sample[field]) for sample in own) / len(own) for field in measures.values()
        ]
        rows.append([category, len(own), *means])
    return Table(title="By category", columns=["category", "questions", *measures], rows=rows)


def protocol_sentence(questions: Sequence[OpenEqaQuestion], settings: OpenEqaSettings) -> str:
    """What is measured, so that a stranger can do the same."""
    episodes = len({question.episode for question in questions})
    how = {
        "episode": f"at most {settings.num_frames} frames of each, "
        + (
            "evenly from the first to the last" if settings.rule == "official" else "by MLCD's rule"
        ),
        "single": "the last frame of each alone",
        "none": "no frame shown",
    }[settings.shown]
    return (
        f"OpenEQA (EM-EQA): {len(questions):,} questions about {episodes:,} episodes, {how}; "
        f"prompt {settings.style}; greedy, at most {settings.max_new_tokens} tokens; no judge: "
        f"normalised exact match, F1 of words and containment, the best over all right answers"
    )


def _frames_of(root: Path, episode: str, settings: OpenEqaSettings) -> list[Path]:
    if settings.shown == "none":
        return []
    found = episode_frames(root, episode, allow_gaps=settings.allow_gaps)
    if settings.shown == "single":
        return found[-1:]
    return [found[i] for i in sample_frames(len(found), settings.num_frames, settings.rule)]


def _data_sha256(questions: Sequence[OpenEqaQuestion], frames: Mapping[str, Sequence[Path]]) -> str:
    """Of the questions, and of names and sizes of the frames: their bytes may be many gigabytes."""
    digest = hashlib.sha256(questions_sha256(questions).encode())
    for episode, paths in frames.items():
        for path in paths:
            digest.update(f"{episode}/{path.name} {path.stat().st_size}\n".encode())
    return digest.hexdigest()


def _worst(samples: Sequence[Sample], frames: Mapping[str, Sequence[Path]]) -> list[Picture]:
    """The worst answers, each with a few frames of its episode side by side."""
    shown: list[Picture] = []
    for sample in samples:
        paths = frames[sample["episode"]]
        if not paths or sample["score"] == 1:
            continue
        places = np.linspace(0, len(paths) - 1, min(4, len(paths))).round().astype(int)
        images: list[Image] = [read_image(paths[int(place)]) for place in places]
        caption = f"{sample['question']} {sample['answer']}; said: {sample['prediction'][:80]}"
        shown.append(Picture(image=draw_strip(images), caption=caption))
    return shown
