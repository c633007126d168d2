"""What a doctor of models says: the shape of a diagnosis, whatever kind of model it is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from mlcd.core.checkpoint import KeyReport, read_dtypes

CLEAN = KeyReport(missing=(), unexpected=(), misshapen=())

Config = TypeVar("Config")


@dataclass(frozen=True, kw_only=True)  # a generic class with slots cannot be frozen in Python 3.11
class Diagnosis(Generic[Config]):
    """What a model folder or weight file is, and what is wrong with it."""

    path: Path
    description: str
    """What it is, in words."""
    config: Config | None = None
    """None when the architecture cannot be told."""
    parameters: int | None = None
    """Trained numbers in the file; None when it cannot be read."""
    dtypes: tuple[str, ...] = ()
    """Number types of the floating weights, the most frequent first."""
    keys: KeyReport = CLEAN
    problems: tuple[str, ...] = ()
    """What is wrong; empty for a model that loads."""
    causes: tuple[str, ...] = ()
    """The likely causes, and what to do."""
    notes: tuple[str, ...] = ()
    """What is not wrong but good to know."""

    @property
    def is_sound(self) -> bool:
        """Whether it loads."""
        return not self.problems


def float_types(paths: Iterable[Path]) -> tuple[str, ...]:
    """Number types of the floating weights in these folders or files, the most frequent first."""
    counts = Counter(
        name for path in paths for name in read_dtypes(path).values() if "float" in name
    )
    return tuple(name for name, _ in counts.most_common())
