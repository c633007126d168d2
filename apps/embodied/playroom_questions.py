"""Measuring answers to questions about pictures, kind by kind, into a resumable result folder.

Whatever answers is measured: a model with the pictures, the same model with others' pictures, or
one that sees none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from mlcd.apps.embodied.picture_questions import (
    PictureQuestion,
    Shown,
    questions_digest,
    read_questions,
    with_pictures,
)
from mlcd.core.answers import (
    Marked,
    accuracy_by_kind,
    is_right,
    mean_over_kinds,
    values_by_kind,
)
from mlcd.core.images import read_image
from mlcd.core.results import Evaluation, Picture, Result, Stamp, Table
from mlcd.core.results.bootstrap import Interval, mean_interval, resampled_means
from mlcd.core.results.sample_log import Sample

Answerer = Callable[[Sequence[PictureQuestion]], Sequence[str]]
"""Questions in, as many answers out."""

SMALL = 0.2
"""Share of the picture's shorter side below which a thing is small."""
_WORST = 12
_CONFUSIONS = 3


def evaluate_questions(
    file: Path,
    answer: Answerer,
    folder: Path,
    *,
    model: str,
    weights_sha256: str,
    shown: Shown = "own",
    settings: Mapping[str, Any] | None = None,
    batch_size: int = 16,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Ask everything in the test file, or go on where an earlier run into `folder` was killed.

    `settings`: what else can change an answer. ValueError when the folder holds another
    measurement, or when not every question was answered.
    """
    original = read_questions(file)
    questions = with_pictures(original, shown, seed=seed)
    stamp = Stamp(
        task="picture-questions",
        protocol=protocol_sentence(file.stem, questions, shown),
        model=model,
        weights_sha256=weights_sha256,
        data_sha256=questions_digest(original),
        seed=seed,
        settings={"batch_size": batch_size, "shown": shown, **(settings or {})},
    )
    with Evaluation.open(folder, stamp, num_samples=len(questions)) as evaluation:
        if evaluation.result is not None:
            return evaluation.result
        left = (question for question in questions if question.id not in evaluation.done)
        while batch := list(islice(left, batch_size)):
            for sample in mark(batch, answer(batch)):
                evaluation.add(sample)
            if progress is not None:
                progress(len(evaluation.done), len(questions))
        samples = evaluation.samples()
        return evaluation.finish(
            summarize(samples),
            summarize=summarize,
            intervals=_intervals(samples, seed),
            tables=_tables(samples),
            pictures=_wrong_pictures(samples, questions),
        )


def mark(questions: Sequence[PictureQuestion], predictions: Sequence[str]) -> Iterable[Sample]:
    """What `samples.jsonl` holds of each question. ValueError when answers are missing."""
    if len(predictions) != len(questions):
        raise ValueError(f"expected {len(questions)} answers, got {len(predictions)}")
    for question, prediction in zip(questions, predictions, strict=True):
        right = is_right(prediction, (question.answer, *question.accepted))
        yield {
            "id": question.id,
            "score": float(right),
            "kind": question.kind,
            "row": question.row,
            "pair": question.pair,
            "size": question.size,
            "question": question.text,
            "answer": question.answer,
            "accepted": list(question.accepted),
            "prediction": prediction,
        }


def summarize(samples: Sequence[Sample]) -> dict[str, float]:
    """Accuracy of each kind and their mean, of each row, and of small and large things.

    Of a pair both have to be right; `single` is the share of the answers that are right whatever
    becomes of their partners, of kinds that come in pairs.
    """
    metrics = _by_kind(samples)
    rows = sorted({sample["row"] for sample in samples})
    if len(rows) > 1:
        for row in rows:
            within = [sample for sample in samples if sample["row"] == row]
            metrics |= {f"{row}: {name}": value for name, value in _by_kind(within).items()}
    sized = [sample for sample in samples if sample["size"] is not None and not sample["pair"]]
    for name, is_small in (("small things", True), ("large things", False)):
        some = [sample for sample in sized if (sample["size"] < SMALL) == is_small]
        if some:
            metrics[name] = mean_over_kinds(accuracy_by_kind(_marked(some)))
    return metrics


def protocol_sentence(name: str, questions: Sequence[PictureQuestion], shown: Shown) -> str:
    """What is measured, so that a stranger can do the same."""
    kinds = sorted({question.kind for question in questions})
    picture = {
        "own": "each with its picture",
        "shuffled": "each with the picture of another",
        "none": "without pictures",
    }[shown]
    return (
        f"{name}: {len(questions):,} questions of {len(kinds)} kinds ({', '.join(kinds)}), "
        f"{picture}; an answer is right when it is one of the accepted ones, without regard to "
        f"case, punctuation and a leading article; of a pair both must be right; mean over kinds"
    )


def _by_kind(samples: Sequence[Sample]) -> dict[str, float]:
    marked = _marked(samples)
    accuracies = accuracy_by_kind(marked)
    metrics = {"mean": mean_over_kinds(accuracies)} if accuracies else {}
    metrics |= accuracies
    paired = [Marked(kind=m.kind, is_right=m.is_right) for m in marked if m.pair is not None]
    return metrics | {f"{kind} single": v for kind, v in accuracy_by_kind(paired).items()}


def _marked(samples: Sequence[Sample]) -> list[Marked]:
    return [
        Marked(kind=sample["kind"], is_right=sample["score"] == 1, pair=sample["pair"])
        for sample in samples
    ]


def _intervals(samples: Sequence[Sample], seed: int) -> dict[str, Interval]:
    """Of each kind, resampling its questions or pairs; of the mean, resampling within each kind."""
    values = values_by_kind(_marked(samples))
    found = {kind: mean_interval(of_kind, seed=seed) for kind, of_kind in values.items()}
    means = np.mean(
        [resampled_means(of_kind, seed=seed + i) for i, of_kind in enumerate(values.values())],
        axis=0,
    )
    low, high = np.percentile(means, [2.5, 97.5])
    return {"mean": Interval(float(low), float(high)), **found}


def _tables(samples: Sequence[Sample]) -> list[Table]:
    kinds = list(dict.fromkeys(sample["kind"] for sample in samples))
    rows = list(dict.fromkeys(sample["row"] for sample in samples))
    by_row = {row: _by_kind([sample for sample in samples if sample["row"] == row]) for row in rows}
    wrong: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
    for sample in samples:
        if sample["score"] == 0:
            wrong[sample["kind"]][f"{sample['answer']} → {sample['prediction'][:40]}"] += 1
    return [
        Table(
            title="Right answers of each kind",
            columns=["kind", *(row or "all" for row in rows), "most frequent mistakes"],
            rows=[
                [
                    kind,
                    *(by_row[row].get(kind) for row in rows),
                    "; ".join(
                        text for text, _ in wrong.get(kind, Counter()).most_common(_CONFUSIONS)
                    ),
                ]
                for kind in [*kinds, "mean"]
            ],
        )
    ]


def _wrong_pictures(
    samples: Sequence[Sample], questions: Sequence[PictureQuestion]
) -> list[Picture]:
    """Wrong answers, of as many kinds as there are."""
    images = {question.id: question.image for question in questions}
    wrong = [sample for sample in samples if sample["score"] == 0 and images[sample["id"]]]
    turn: Counter[str] = Counter()
    ranked: list[tuple[int, Sample]] = []
    for sample in wrong:
        ranked.append((turn[sample["kind"]], sample))
        turn[sample["kind"]] += 1
    ranked.sort(key=lambda pair: pair[0])
    shown: list[Picture] = []
    for _, sample in ranked[:_WORST]:
        image = images[sample["id"]]
        assert image is not None
        caption = f"{sample['question']} {sample['answer']}; said: {sample['prediction'][:80]}"
        shown.append(Picture(image=read_image(image), caption=caption))
    return shown
