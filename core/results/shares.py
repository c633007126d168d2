"""An evaluation that several processes work at, each at its share, with the numbers of one.

OUT/parts/0-of-4/   what a process did: an evaluation of its own, which resumes as any other
OUT/                the whole, put together by the process that is done last

They need no connection, only the same folder. Every sample is done once, stands in the whole once
and in the order of the set, whatever the number of processes; a run that was killed goes on with
any other number.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlcd.core.results.evaluation import Evaluation, runs_so_far
from mlcd.core.results.provenance import Run
from mlcd.core.results.result import PARTS, PARTS_LOCK, RESULT, SAMPLES, Result
from mlcd.core.results.sample_log import Sample, read_samples
from mlcd.core.results.stamp import Stamp


@dataclass(frozen=True, slots=True)
class Share:
    """Which of several processes this one is."""

    number: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.count:
            raise ValueError(f"process {self.number} of {self.count}: expected 0 to count - 1")

    @classmethod
    def from_environment(cls) -> Share:
        """As torchrun says in RANK and WORLD_SIZE; without them the only one."""
        try:
            return cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))
        except ValueError as error:
            raise ValueError(f"RANK and WORLD_SIZE in the environment: {error}") from error

    def takes(self, place: int) -> bool:
        """Whether what stands at `place` is this process's to do."""
        return place % self.count == self.number


def evaluate_shared(
    folder: str | Path,
    stamp: Stamp,
    ids: Sequence[str],
    *,
    share: Share,
    work: Callable[[Evaluation], None],
    finish: Callable[[Evaluation], Result],
) -> Result | None:
    """Do this process's share, and finish the whole when all of it is done.

    `ids` are all samples in the order of the set. `work` adds those of the share that are not in
    `done`; `finish` calls `Evaluation.finish`. None for a process that is not the last to be done.
    ValueError as `Evaluation.open`.
    """
    folder = Path(folder)
    if share.count == 1:
        samples, runs = _parts(folder, stamp)
        given = [*runs, Run()] if runs else None
        with Evaluation.open(folder, stamp, num_samples=len(ids), runs=given) as whole:
            if whole.result is None:
                _put(whole, samples, ids)
                work(whole)
            result = finish(whole)
        _tidy(folder)
        return result
    with _alone(folder):
        if (folder / RESULT).exists():
            with Evaluation.open(folder, stamp) as whole:
                return finish(whole) if share.number == 0 else None
        own = folder / PARTS / f"{share.number}-of-{share.count}"
        mine = Evaluation.open(own, stamp, num_samples=len(ids))
        mine.done.update(_done(folder, stamp))
    with mine:
        work(mine)
    with _alone(folder):
        if (folder / RESULT).exists() or not _done(folder, stamp).issuperset(ids):
            return None  # another finished it, or will
        samples, runs = _parts(folder, stamp)
        with Evaluation.open(folder, stamp, num_samples=len(ids), runs=runs) as whole:
            _put(whole, samples, ids)
            return finish(whole)


def _done(folder: Path, stamp: Stamp) -> set[str]:
    """The ids of all samples that some process did."""
    samples, _ = _parts(folder, stamp)
    if (folder / SAMPLES).exists():
        runs_so_far(folder, stamp)  # refuses what is of another measurement
        samples += read_samples(folder / SAMPLES)
    return {sample["id"] for sample in samples}


def _parts(folder: Path, stamp: Stamp) -> tuple[list[Sample], list[Run]]:
    """What the processes did so far, and who they were."""
    samples: list[Sample] = []
    runs: list[Run] = []
    for log in sorted(folder.glob(f"{PARTS}/*/{SAMPLES}")):
        runs += runs_so_far(log.parent, stamp)
        samples += read_samples(log)
    return samples, runs


def _put(evaluation: Evaluation, samples: Sequence[Sample], ids: Sequence[str]) -> None:
    """Add what is not there yet, in the order of the set."""
    by_id = {sample["id"]: sample for sample in samples}
    for name in ids:
        if name in by_id and name not in evaluation.done:
            evaluation.add(by_id[name])


def _tidy(folder: Path) -> None:
    """Remove what only an unfinished whole needs."""
    shutil.rmtree(folder / PARTS, ignore_errors=True)
    (folder / PARTS_LOCK).unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder while others wait; the system lets go of it however the process ends."""
    try:
        import fcntl
    except ImportError as error:  # Windows
        raise ValueError(
            "several processes need file locks, which this system does not have; use one process"
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / PARTS_LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        if (folder / RESULT).exists():
            _tidy(folder)
    finally:
        os.close(descriptor)
