"""The linear probe of a tower on a labelled set, into a resumable result folder.

The papers' MLCD probes went through an embedding head that the public weights lack
(`published.py`): what is measured here is the pooled output that everybody can load.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mlcd.core.datasets.labelled_set import LabelledSet, hold_out
from mlcd.core.embedding.table import Progress, embed_table
from mlcd.core.files import write_text
from mlcd.core.results import Evaluation, Plot, Result, Stamp, Table
from mlcd.core.results.exhibits import Cell
from mlcd.core.results.sample_log import Sample
from mlcd.training.probes.exhibits import class_table, worst_pictures
from mlcd.training.probes.features import Features
from mlcd.training.probes.linear import (
    Examples,
    LinearProbe,
    LinearSettings,
    Trial,
    choose_penalty,
)
from mlcd.training.probes.metrics import summarize
from mlcd.training.probes.probe_set import ProbeSet
from mlcd.training.probes.published import published_linear

TRIALS = "trials.json"  # the search so far: on a large set each fit takes long
EMBEDDINGS = "embeddings-{}.npy"

OnTrial = Callable[[Trial], None]


def evaluate_linear(
    probe_set: ProbeSet,
    features: Features,
    folder: str | Path,
    settings: LinearSettings = LinearSettings(),  # noqa: B008 - frozen
    *,
    batch_size: int = 32,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    on_trial: OnTrial = lambda _: None,
) -> Result:
    """Measure `features` on the set, or go on where an earlier run into `folder` was killed.

    `device` is where the probe is fitted. ValueError when the folder holds another measurement,
    and when a picture cannot be read.
    """
    folder, test = Path(folder), probe_set.test
    parts = _parts(probe_set, settings)
    stamp = Stamp(
        task="probe-linear",
        protocol=_protocol(probe_set, parts, settings, str(features.settings()["features"])),
        model=features.name,
        weights_sha256=features.weights_sha256(),
        data_sha256=probe_set.digest,
        seed=settings.seed,
        settings={
            "batch_size": batch_size,
            **{name: value for name, value in asdict(settings).items() if name != "seed"},
            **features.settings(),
        },
    )
    with Evaluation.open(folder, stamp, num_samples=len(test)) as evaluation:
        if evaluation.result is not None:
            return evaluation.result
        examples = {
            side: _examples(
                part,
                embed_table(
                    folder / EMBEDDINGS.format(side),
                    [image.source for image in part.images],
                    features,
                    width=features.width,
                    batch_size=batch_size,
                    progress=progress,
                ),
                device,
            )
            for side, part in parts.items()
        }
        trials = _read_trials(folder / TRIALS)

        def keep(trial: Trial) -> None:
            trials.append(trial)
            write_text(folder / TRIALS, json.dumps([asdict(each) for each in trials], indent=1))
            on_trial(trial)

        probe = _fit(examples, len(test.classes), settings, trials, keep)
        for sample in _samples(test, examples["test"], probe):
            if sample["id"] not in evaluation.done:
                evaluation.add(sample)
        samples = evaluation.samples()
        result = evaluation.finish(
            summarize(samples),
            summarize=summarize,
            tables=[_fit_table(probe, trials), class_table(samples, test.classes)],
            plots=_plots(trials),
            pictures=worst_pictures(samples, test),
            published=published_linear(probe_set.published),
        )
        for side in parts:  # the samples hold all that the metrics need
            (folder / EMBEDDINGS.format(side)).unlink(missing_ok=True)
        (folder / TRIALS).unlink(missing_ok=True)
        return result


def _parts(probe_set: ProbeSet, settings: LinearSettings) -> dict[str, LabelledSet]:
    """What has to be embedded, by name; with a given penalty nothing needs to be held out."""
    train, validation = probe_set.train, probe_set.validation
    if validation is None and settings.penalty is None:
        train, validation = hold_out(train, settings.validation_share, seed=settings.seed)
    parts = {"train": train, "test": probe_set.test}
    return parts if validation is None else {**parts, "validation": validation}


def _examples(
    part: LabelledSet, table: NDArray[np.float32], device: torch.device | str
) -> Examples:
    labels = torch.tensor([image.label for image in part.images])
    return Examples(torch.from_numpy(np.array(table)).to(device), labels.to(device))


def _fit(
    examples: dict[str, Examples],
    num_classes: int,
    settings: LinearSettings,
    trials: list[Trial],
    on_trial: OnTrial,
) -> LinearProbe:
    """The final probe: of the penalty given or found, fitted to all that may be learned from."""
    train, validation = examples["train"], examples.get("validation")
    penalty = settings.penalty
    if penalty is None:
        assert validation is not None
        penalty = choose_penalty(
            train, validation, num_classes, settings, done=list(trials), on_trial=on_trial
        )
    everything = train if validation is None else train + validation
    return LinearProbe(everything, num_classes, penalty, settings)


def _samples(test: LabelledSet, examples: Examples, probe: LinearProbe) -> Iterator[Sample]:
    """What `samples.jsonl` holds of each test picture."""
    for image, guess in zip(test.images, probe.best(examples), strict=True):
        yield {
            "id": image.id,
            "score": float(guess.top[0] == image.label),
            "label": image.label,
            "top": guess.top,
            "share": round(guess.share, 6),
            "top_share": round(guess.top_share, 6),
        }


def _read_trials(path: Path) -> list[Trial]:
    if not path.exists():
        return []
    return [Trial(**fields) for fields in json.loads(path.read_text(encoding="utf-8"))]


def _protocol(
    probe_set: ProbeSet, parts: dict[str, LabelledSet], settings: LinearSettings, seen: str
) -> str:
    """What is measured, so that a stranger can do the same."""
    validation = parts.get("validation")
    if settings.penalty is not None:
        how = f"penalty {settings.penalty:g}"
    else:
        own = "" if probe_set.validation else ", held out of the training pictures by class"
        how = (
            f"penalty by CLIP's search (eight steps a decade, 1e-6 to 1e6; of equal accuracies the "
            f"larger penalty) on {len(validation or ()):,} pictures{own}, then fitted to these too"
        )
    return (
        f"{probe_set.name}: multinomial logistic regression on the {seen}"
        f"{', standardized' if settings.is_standardized else ''}, of {probe_set.num_train:,} "
        f"training pictures, tested on {len(probe_set.test):,}; sum of -log p plus penalty / 2 "
        f"times the squared weights, scikit-learn's C = 1 / penalty; L-BFGS from zero, at most "
        f"{settings.max_iterations:,} iterations; {how}"
    )


def _fit_table(probe: LinearProbe, trials: list[Trial]) -> Table:
    """Every fit: those of the search by penalty, then the last one."""
    fits = sorted(trials, key=lambda trial: trial.penalty)
    rows: list[list[Cell]] = [
        [f"{each.penalty:.3g}", each.accuracy, each.iterations, each.ended] for each in fits
    ]
    rows.append([f"{probe.penalty:.3g}, final", None, probe.fit.iterations, probe.fit.ended])
    return Table(
        title="Fits",
        columns=["penalty", "accuracy on validation", "iterations", "ended by"],
        rows=rows,
        note=f"The final one in scikit-learn's words: C = {1 / probe.penalty:.6g}.",
    )


def _plots(trials: list[Trial]) -> list[Plot]:
    if not trials:
        return []
    points = sorted((trial.penalty, trial.accuracy) for trial in trials)
    return [
        Plot(
            title="The search for the penalty",
            x_label="penalty",
            y_label="accuracy on validation",
            lines={"accuracy": points},
            x_scale="log",
        )
    ]
