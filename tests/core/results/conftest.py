"""A measurement to stamp and a finished evaluation of given scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from mlcd.core.results import Evaluation, Result, Stamp

Finish = Callable[..., Result]


@pytest.fixture
def stamp() -> Stamp:
    return Stamp(
        task="toy",
        protocol="each toy against all others",
        model="tiny",
        weights_sha256="aa" * 32,
        data_sha256="bb" * 32,
        seed=3,
        settings={"batch_size": 8},
    )


@pytest.fixture
def finish(tmp_path: Path, stamp: Stamp) -> Finish:
    """Write a finished evaluation of {id: score} into a folder of this name."""

    def finished(
        name: str, scores: Mapping[str, float], stamp: Stamp = stamp, **exhibits: Any
    ) -> Result:
        with Evaluation.open(tmp_path / name, stamp) as evaluation:
            for key, score in scores.items():
                evaluation.add({"id": key, "score": score})
            return evaluation.finish({"accuracy": sum(scores.values()) / len(scores)}, **exhibits)

    return finished
