"""Nearest neighbours of a tower's embeddings on a labelled set, into a resumable result folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlcd.core.datasets.labelled_set import LabelledSet
from mlcd.core.embedding.table import Progress, embed_table
from mlcd.core.results import Evaluation, Plot, Published, Result, Stamp, Table
from mlcd.core.results.sample_log import Sample
from mlcd.training.probes.exhibits import class_table, worst_pictures
from mlcd.training.probes.features import Features
from mlcd.training.probes.knn import (
    NEIGHBOURS,
    TEMPERATURE,
    TOP,
    best_classes,
    draw_few_shot,
    summarize,
    vote,
)
from mlcd.training.probes.probe_set import ProbeSet
from mlcd.training.probes.published import published_knn

SCORED_K = 20  # whose vote is a sample's `top` and score: DINO's best on ImageNet
SHOWN = 5  # nearest pictures that are kept by name
CHUNK = 1024  # test pictures between two looks at the disk
EMBEDDINGS = "embeddings-{}.npy"


@dataclass(frozen=True, kw_only=True, slots=True)
class KnnSettings:
    """How the neighbours vote; the defaults are DINO's and UNICOM's."""

    neighbours: tuple[int, ...] = NEIGHBOURS
    temperature: float = TEMPERATURE
    per_class: tuple[int, ...] = ()
    """Few-shot: so many training pictures of each class, besides the vote of all of them."""
    tries: int = 5
    """Draws of each few-shot number."""
    seed: int = 0

    def __post_init__(self) -> None:
        counts = (*self.neighbours, *self.per_class, self.tries)
        if not self.neighbours or min(counts) < 1:
            raise ValueError(f"neighbours, per_class and tries must be at least 1, got {counts}")
        if not self.temperature > 0:
            raise ValueError(f"temperature: expected more than 0, got {self.temperature}")


@dataclass(frozen=True, slots=True)
class Bank:
    """Rows of the training set that vote together, and the k that they suffice for."""

    name: str
    """What its votes are called: "" for all training pictures, "5 a class, " for a draw."""
    rows: NDArray[np.int64]
    neighbours: tuple[int, ...]


def evaluate_knn(
    probe_set: ProbeSet,
    features: Features,
    folder: str | Path,
    settings: KnnSettings = KnnSettings(),
    *,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> Result:
    """Measure `features` on the set, or go on where an earlier run into `folder` was killed.

    A k of more than the training pictures is left out. ValueError when the features are not
    normalised, when no k is left, when the folder holds another measurement, and when a picture
    cannot be read.
    """
    if not features.is_normalized:
        raise ValueError("nearest neighbours go by cosine: expected normalised features")
    banks = _banks(probe_set, settings)
    stamp = Stamp(
        task="probe-knn",
        protocol=_protocol(probe_set, banks, settings),
        model=features.name,
        weights_sha256=features.weights_sha256(),
        data_sha256=probe_set.digest,
        seed=settings.seed,
        settings={
            "batch_size": batch_size,
            "neighbours": banks[0].neighbours,
            "temperature": settings.temperature,
            "pictures_per_class": settings.per_class,
            "tries": settings.tries if settings.per_class else None,
            **features.settings(),
        },
    )
    folder, test = Path(folder), probe_set.test
    with Evaluation.open(folder, stamp, num_samples=len(test)) as evaluation:
        if evaluation.result is not None:
            return evaluation.result
        left = [i for i, image in enumerate(test.images) if image.id not in evaluation.done]
        parts = {"train": probe_set.train, "test": test}
        if left:
            train_rows, test_rows = (
                embed_table(
                    folder / EMBEDDINGS.format(side),
                    [image.source for image in part.images],
                    features,
                    width=features.width,
                    batch_size=batch_size,
                    progress=progress,
                )
                for side, part in parts.items()
            )
            for sample in _samples(probe_set, banks, settings, train_rows, test_rows, left):
                evaluation.add(sample)
        samples = evaluation.samples()
        result = evaluation.finish(
            metrics := summarize(samples),
            summarize=summarize,
            tables=[*_tries_table(samples, banks), class_table(samples, test.classes)],
            plots=[_plot(metrics, banks)],
            pictures=worst_pictures(samples, test, probe_set.train),
            published=_published(probe_set, banks),
        )
        for side in parts:  # the samples hold all that the metrics need
            (folder / EMBEDDINGS.format(side)).unlink(missing_ok=True)
        return result


def _banks(probe_set: ProbeSet, settings: KnnSettings) -> list[Bank]:
    """The bank of all training pictures, then the few-shot ones, by number and try."""
    labels = _labels(probe_set.train)
    draws = [("", np.arange(len(labels)))]
    for per_class in settings.per_class:
        draws += [
            (
                f"{per_class} a class, ",
                draw_few_shot(labels, per_class=per_class, attempt=attempt, seed=settings.seed),
            )
            for attempt in range(settings.tries)
        ]
    for name, rows in draws:
        if len(rows) < min(settings.neighbours):
            raise ValueError(
                f"{probe_set.name}: {name}{len(rows)} pictures vote, fewer than the smallest k, "
                f"{min(settings.neighbours)}; ask for a smaller k"
            )
    return [
        Bank(name, rows, tuple(k for k in settings.neighbours if k <= len(rows)))
        for name, rows in draws
    ]


def _samples(
    probe_set: ProbeSet,
    banks: Sequence[Bank],
    settings: KnnSettings,
    train: NDArray[np.float32],
    test: NDArray[np.float32],
    asked: Sequence[int],
) -> Iterator[Sample]:
    """What `samples.jsonl` holds of each test picture that is `asked`."""
    labels = _labels(probe_set.train)
    vectors = [train, *(train[bank.rows] for bank in banks[1:])]
    scored = _scored_k(banks)
    for start in range(0, len(asked), CHUNK):
        part = list(asked[start : start + CHUNK])
        found = [
            vote(
                test[part],
                own_vectors,
                labels[bank.rows],
                num_classes=len(probe_set.train.classes),
                neighbours=bank.neighbours,
                temperature=settings.temperature,
            )
            for bank, own_vectors in zip(banks, vectors, strict=True)
        ]
        best = [{k: best_classes(votes) for k, votes in by_k.items()} for _, by_k in found]
        nearest, by_k = found[0]
        for line, i in enumerate(part):
            image = probe_set.test.images[i]
            votes: dict[str, list[list[int]]] = {}
            for bank, best_by_k in zip(banks, best, strict=True):
                for k, classes in best_by_k.items():
                    votes.setdefault(f"{bank.name}k={k}", []).append(classes[line])
            top = best[0][scored][line]
            yield {
                "id": image.id,
                "score": float(top[0] == image.label),
                "label": image.label,
                "top": top,
                "share": round(float(by_k[scored][line, image.label]), 6),
                "top_share": round(float(by_k[scored][line, top[0]]), 6),
                "nearest": [probe_set.train.images[row].id for row in nearest[line, :SHOWN]],
                "votes": votes,
            }


def _labels(labelled: LabelledSet) -> NDArray[np.int64]:
    return np.array([image.label for image in labelled.images], dtype=np.int64)


def _scored_k(banks: Sequence[Bank]) -> int:
    """The k whose vote is a sample's score."""
    return SCORED_K if SCORED_K in banks[0].neighbours else banks[0].neighbours[0]


def _protocol(probe_set: ProbeSet, banks: Sequence[Bank], settings: KnnSettings) -> str:
    """What is measured, so that a stranger can do the same."""
    depth = min(max(settings.neighbours), len(probe_set.train))
    few_shot = (
        f"; few-shot: {', '.join(map(str, settings.per_class))} training pictures a class, mean "
        f"over {settings.tries} draws"
        if settings.per_class
        else ""
    )
    return (
        f"{probe_set.name}: {len(probe_set.test):,} test pictures, each classified by its k "
        f"nearest of {len(probe_set.train):,} training pictures by cosine, k in "
        f"{', '.join(map(str, banks[0].neighbours))}; weights softmax(cosine / "
        f"{settings.temperature:g}) over the {depth} nearest (of a draw, over as many as it has); "
        f"a class without a vote is no answer; score: k = {_scored_k(banks)}{few_shot}"
    )


def _plot(metrics: Mapping[str, float], banks: Sequence[Bank]) -> Plot:
    lines = {
        f"{bank.name}top-{top}": [
            (float(k), metrics[f"top-{top}, {bank.name}k={k}"]) for k in bank.neighbours
        ]
        for bank in banks
        for top in (1, TOP)
    }
    return Plot(
        title="How many neighbours vote", x_label="k", y_label="accuracy", lines=lines,
        x_scale="log",
    )  # fmt: skip


def _tries_table(samples: Sequence[Sample], banks: Sequence[Bank]) -> list[Table]:
    """Each few-shot vote with the spread over its draws."""
    rows: list[list[str | float | None]] = []
    for name in samples[0]["votes"]:
        tries = len(samples[0]["votes"][name])
        if any(name.startswith(bank.name) for bank in banks[1:]):
            right = np.array(
                [[best[0] == each["label"] for best in each["votes"][name]] for each in samples]
            ).mean(axis=0)
            spread = float(right.std(ddof=1)) if tries > 1 else None
            rows.append([name, float(right.mean()), spread, float(right.min()), float(right.max())])
    columns = ["vote", "top-1", "standard deviation over the draws", "worst draw", "best draw"]
    return [Table(title="Few-shot", columns=columns, rows=rows)] if rows else []


def _published(probe_set: ProbeSet, banks: Sequence[Bank]) -> list[Published]:
    return published_knn(probe_set.published, f"top-1, k={_scored_k(banks)}")
