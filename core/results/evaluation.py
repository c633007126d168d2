"""An evaluation under way: begun, killed, resumed, finished."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from mlcd.core.files import write_text
from mlcd.core.results.bootstrap import Interval, mean_interval
from mlcd.core.results.exhibits import Picture, Plot, Published, Table
from mlcd.core.results.plain_json import plain
from mlcd.core.results.provenance import Run, now
from mlcd.core.results.report import render_report
from mlcd.core.results.result import (
    FORMAT,
    PARTS,
    PARTS_LOCK,
    REPORT,
    RESULT,
    SAMPLES,
    UNFINISHED,
    Result,
    explained,
    load_result,
    read_json,
    write_json,
)
from mlcd.core.results.sample_log import Sample, SampleLog
from mlcd.core.results.sample_values import Summarize, differing_metrics, sample_values
from mlcd.core.results.stamp import Stamp


class Evaluation:
    """An evaluation in a folder. A kill at any point loses the sample it was at and no other.

    with Evaluation.open(folder, stamp) as evaluation:
        for question in questions:
            if question.id not in evaluation.done:
                evaluation.add({"id": question.id, "score": ..., ...})
        result = evaluation.finish(summarize(evaluation.samples()))
    """

    def __init__(
        self,
        folder: Path,
        stamp: Stamp,
        *,
        log: SampleLog | None,
        runs: Sequence[Run],
        num_samples: int | None,
        result: Result | None,
    ) -> None:
        """`Evaluation.open` is the way in."""
        self.folder = folder
        self.stamp = stamp
        self.result = result  # of an earlier run; then nothing is left to do
        self._log = log
        self._runs = runs
        self._num_samples = num_samples
        self._samples = log.samples if log is not None else []
        if result is not None:
            self._samples = result.samples()
        self.done = {str(sample["id"]) for sample in self._samples}

    @classmethod
    def open(
        cls,
        folder: str | Path,
        stamp: Stamp,
        *,
        num_samples: int | None = None,
        runs: Sequence[Run] | None = None,
    ) -> Evaluation:
        """The evaluation in `folder`: a new one, one to go on with, or a finished one (`result`).

        `num_samples` is how many there will be: `finish` refuses fewer, and messages count with it.
        `runs`: of the processes that work on it, when they are others than this one alone.
        ValueError: the folder holds another measurement (the differing fields are named), samples
        of unknown origin or anything else, or another process is writing there.
        """
        folder = Path(folder)
        if (folder / RESULT).exists():
            result = load_result(folder)
            _refuse_other(folder, result.stamp, stamp)
            return cls(folder, stamp, log=None, runs=(), num_samples=num_samples, result=result)
        earlier = runs_so_far(folder, stamp)
        folder.mkdir(parents=True, exist_ok=True)
        log = SampleLog(folder / SAMPLES)
        own = [*earlier, *([Run(first_sample=len(log.samples))] if runs is None else runs)]
        begun = {
            "format": FORMAT,
            "stamp": dataclasses.asdict(stamp),
            "num_samples": num_samples,
            "runs": [dataclasses.asdict(run) for run in own],
        }
        write_json(folder / UNFINISHED, begun)
        return cls(folder, stamp, log=log, runs=own, num_samples=num_samples, result=None)

    def add(self, sample: Mapping[str, Any]) -> None:
        """Append a sample: its `id`, its `score` (0 wrong to 1 right), what the metrics need.

        On disk when this returns; numbers that are not finite are kept as None.
        ValueError: no id, an id that is done, or a score outside 0..1.
        """
        if self._log is None:
            raise ValueError(f"{self.folder} is finished: look at `evaluation.done` before adding")
        name = sample.get("id")
        if not isinstance(name, str) or not name:
            raise ValueError(f"expected a sample with a text as id, got {name!r}")
        if name in self.done:
            raise ValueError(f"sample {name!r} is done: look at `evaluation.done` before adding")
        score = plain(sample.get("score"))
        if not isinstance(score, int | float) or not 0 <= score <= 1:
            raise ValueError(
                f"sample {name!r}: expected a score from 0 (wrong) to 1 (right), "
                f"got {sample.get('score')!r}"
            )
        try:
            self._log.append(sample)
        except TypeError as error:
            raise ValueError(f"sample {name!r} cannot be kept as JSON: {error}") from error
        self.done.add(name)

    def samples(self) -> list[Sample]:
        """All samples so far, in the order in which they were done, as they are read from disk."""
        return list(self._samples)

    def worst(self, count: int) -> list[Sample]:
        """The `count` samples with the lowest scores, worst first, ties by id."""
        return sorted(self._samples, key=lambda sample: (sample["score"], sample["id"]))[:count]

    def finish(
        self,
        metrics: Mapping[str, float],
        *,
        summarize: Summarize | None = None,
        intervals: Mapping[str, Interval] | None = None,
        tables: Sequence[Table] = (),
        plots: Sequence[Plot] = (),
        pictures: Sequence[Picture] = (),
        published: Sequence[Published] = (),
    ) -> Result:
        """Write `report.html` and `result.json`; an earlier run's result is given back as it is.

        `pictures` are the worst cases, or what their sections say. Metrics that are means over the
        samples get 95 % intervals: with `summarize`, which computes the metrics from samples, every
        such metric; without it the mean `score` and means of fields named as the metric. Give
        `intervals` of others.
        ValueError: no samples, fewer than announced, or a finished result of other numbers.
        """
        metrics = {name: float(value) for name, value in metrics.items()}
        if self.result is not None:
            if changed := differing_metrics(self.result.metrics, metrics):
                raise ValueError(
                    f"{self.folder} is finished with another {changed[0]}: the code that computes "
                    f"it has changed since; evaluate into another folder"
                )
            return self.result
        if not self._samples or len(self._samples) < (self._num_samples or 0):
            raise ValueError(
                f"{self.folder}: {len(self._samples)} samples are done of "
                f"{self._num_samples or 'an evaluation that needs at least one'}; "
                f"add the others before finishing"
            )
        means = {
            name: mean_interval(list(values.values()), seed=self.stamp.seed)
            for name, values in sample_values(self._samples, metrics, summarize).items()
        }
        result = Result(
            folder=self.folder,
            stamp=self.stamp,
            metrics=metrics,
            intervals={**means, **(intervals or {})},
            num_samples=len(self._samples),
            finished=now(),
            runs=self._runs,
            tables=tables,
            published=published,
        )
        page = render_report(result, self._samples, plots=plots, pictures=pictures)
        write_text(self.folder / REPORT, page)
        result.save()  # last: a folder with a result.json is complete
        (self.folder / UNFINISHED).unlink(missing_ok=True)
        self.close()
        self.result = result
        return result

    def close(self) -> None:
        """Let go of the samples' file; what is in it stays for the next run."""
        if self._log is not None:
            self._log.close()
            self._log = None

    def __enter__(self) -> Evaluation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def runs_so_far(folder: Path, stamp: Stamp) -> list[Run]:
    """The earlier runs of an unfinished evaluation, none of a new one.

    ValueError when the folder holds another measurement, or anything else.
    """
    path = folder / UNFINISHED
    if path.exists():
        begun = read_json(path)
        with explained(path):
            earlier = Stamp(**begun["stamp"])
            runs = [Run(**run) for run in begun["runs"]]
        _refuse_other(folder, earlier, stamp)
        return runs
    samples = folder / SAMPLES
    if samples.exists() and samples.stat().st_size > 0:
        raise ValueError(
            f"{samples} has no {UNFINISHED} beside it: what it measured cannot be known; "
            f"move it away or evaluate into another folder"
        )
    if strangers := sorted(_strangers(folder)):
        raise ValueError(
            f"{folder} is not empty (it holds {strangers[0]}) and no evaluation's folder; "
            f"evaluate into another folder"
        )
    return []


def _strangers(folder: Path) -> list[str]:
    """What is in the folder and not left there by an evaluation that was killed as it began."""
    if not folder.is_dir():
        return []
    names = [path.name for path in folder.iterdir()]
    own = (SAMPLES, PARTS, PARTS_LOCK)
    return [name for name in names if name not in own and not name.endswith(".part")]


def _refuse_other(folder: Path, found: Stamp, wanted: Stamp) -> None:
    if differences := found.differences(wanted):
        listed = "; ".join(
            f"{name} is {there!r} there and {here!r} now"
            for name, (there, here) in differences.items()
        )
        raise ValueError(
            f"{folder} holds another measurement: {listed}. "
            f"Evaluate into another folder, or delete this one to measure anew"
        )
