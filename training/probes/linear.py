"""CLIP's linear probe on features that are there: search the penalty, refit, classify.

Logistic regression (`logistic.py`) on training features, its penalty searched by accuracy on
validation features (`penalty_search.py`), then fitted again to both together (Radford et al., CLIP,
ICML 2021, appendix A.3).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mlcd.core.top_k import top_k
from mlcd.training.probes.logistic import (
    MAX_ITERATIONS,
    TOLERANCE,
    Ended,
    LogisticFit,
    fit_logistic,
)
from mlcd.training.probes.penalty_search import penalty_at, search_penalty

TOP = 5  # classes kept of each test picture
CHUNK = 4096  # test pictures classified at once


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearSettings:
    """How the probe is fitted; the defaults are CLIP's protocol."""

    penalty: float | None = None
    """Weight decay, 1 / C of scikit-learn; None: searched on pictures for validation."""
    validation_share: float = 0.1
    """Of each class, held out of the training pictures where the set has none for validation."""
    max_iterations: int = MAX_ITERATIONS
    tolerance: float = TOLERANCE
    is_standardized: bool = False
    """Bring each feature to mean 0 and deviation 1 over the training pictures; CLIP does not."""
    seed: int = 0
    """Of what is held out."""

    def __post_init__(self) -> None:
        if self.max_iterations < 1:
            raise ValueError(f"max_iterations: expected at least 1, got {self.max_iterations}")
        if self.penalty is not None and not self.penalty > 0:
            raise ValueError(f"penalty: expected a number above 0, got {self.penalty}")


@dataclass(frozen=True, slots=True)
class Examples:
    """Features (N, D) float32 with their labels (N,) int64, on one device."""

    features: Tensor
    labels: Tensor

    def __add__(self, other: Examples) -> Examples:
        return Examples(
            torch.cat([self.features, other.features]), torch.cat([self.labels, other.labels])
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One penalty that the search tried."""

    step: int
    penalty: float
    accuracy: float
    """On the validation examples."""
    iterations: int
    ended: Ended
    seconds: float


class Guess(NamedTuple):
    """What a probe says of one example."""

    top: list[int]
    """The five most probable classes, best first."""
    share: float
    """The probability of the example's label."""
    top_share: float
    """That of the best class."""


class LinearProbe:
    """A fitted classifier of features, scaled as it was fitted."""

    def __init__(
        self, examples: Examples, num_classes: int, penalty: float, settings: LinearSettings
    ) -> None:
        """Fit it, from zero."""
        features = examples.features
        self._shift, self._scale = torch.zeros(()), torch.ones(())
        if settings.is_standardized:
            self._shift, deviation = features.mean(dim=0), features.std(dim=0)
            self._scale = torch.where(deviation > 0, deviation, 1)
            features = (features - self._shift) / self._scale
        self.penalty = penalty
        self.fit: LogisticFit = fit_logistic(
            features,
            examples.labels,
            num_classes=num_classes,
            penalty=penalty,
            max_iterations=settings.max_iterations,
            tolerance=settings.tolerance,
        )

    def probabilities(self, features: Tensor) -> Tensor:
        """Of each class: (N, D) -> (N, K)."""
        if self._shift.ndim:
            features = (features - self._shift) / self._scale
        return torch.softmax(self.fit.logits(features), dim=1)

    def classify(self, features: Tensor) -> Tensor:
        """The most probable class: (N, D) -> (N,)."""
        return torch.cat([self.probabilities(part).argmax(dim=1) for part in features.split(CHUNK)])

    def best(self, examples: Examples) -> Iterator[Guess]:
        """What it says of each example, in order."""
        for features, labels in zip(
            examples.features.split(CHUNK), examples.labels.cpu().split(CHUNK), strict=True
        ):
            probabilities = self.probabilities(features).cpu()  # (chunk, K)
            shares = probabilities.gather(1, labels[:, None])[:, 0].tolist()
            values, classes = top_k(probabilities, TOP)
            for own, top, value in zip(
                shares, classes.tolist(), values[:, 0].tolist(), strict=True
            ):
                yield Guess(top, own, value)


def choose_penalty(
    train: Examples,
    validation: Examples,
    num_classes: int,
    settings: LinearSettings,
    *,
    done: Sequence[Trial] = (),
    on_trial: Callable[[Trial], None] = lambda _: None,
) -> float:
    """The penalty whose probe of `train` is right most often on `validation`.

    Trials that are `done` are not fitted again; `on_trial` is told of each new one.
    """
    known: MutableMapping[int, float] = {trial.step: trial.accuracy for trial in done}

    def accuracy_at(step: int) -> float:
        start = time.monotonic()
        probe = LinearProbe(train, num_classes, penalty_at(step), settings)
        is_right = probe.classify(validation.features) == validation.labels
        trial = Trial(
            step=step,
            penalty=penalty_at(step),
            accuracy=float(is_right.double().mean()),
            iterations=probe.fit.iterations,
            ended=probe.fit.ended,
            seconds=round(time.monotonic() - start, 1),
        )
        on_trial(trial)
        return trial.accuracy

    return penalty_at(search_penalty(accuracy_at, known))
