"""Learning rate over a run: warm-up, then a fall, as a share of its peak."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

ScheduleKind = Literal["cosine", "polynomial", "constant"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """The share of the peak learning rate at each of `steps` steps, counted from 0."""

    steps: int
    warmup_steps: int = 0
    """Steps in which the rate rises in a straight line; the last of them has the peak."""
    kind: ScheduleKind = "cosine"
    power: float = 1.0
    """Of the polynomial: 1 is a straight line, 2 what insightface's trainer takes."""

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 <= self.warmup_steps <= self.steps:
            raise ValueError(
                "expected steps >= 1 and warmup_steps within them, got "
                f"steps {self.steps} and warmup_steps {self.warmup_steps}"
            )
        if self.kind not in get_args(ScheduleKind):
            kinds = ", ".join(get_args(ScheduleKind))
            raise ValueError(f"schedule {self.kind!r}: expected one of {kinds}")
        if self.power <= 0:
            raise ValueError(f"expected a power > 0, got {self.power}")

    def __call__(self, step: int) -> float:
        """In 0..1; after the last step it stays 0, or 1 when constant."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        left = 1 - min(1.0, (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps))
        match self.kind:
            case "cosine":
                return 0.5 * (1 + math.cos(math.pi * (1 - left)))
            case "polynomial":
                return float(left**self.power)
            case "constant":
                return 1.0
