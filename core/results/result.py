"""A finished evaluation: `result.json`, read and written."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlcd.core.files import write_text
from mlcd.core.results.bootstrap import Interval
from mlcd.core.results.exhibits import Published, Table
from mlcd.core.results.plain_json import json_text, number_json, plain
from mlcd.core.results.provenance import Run
from mlcd.core.results.sample_log import Sample, read_samples
from mlcd.core.results.stamp import Stamp

FORMAT = 1  # of result.json and unfinished.json; raised when an older reader would misread them
RESULT = "result.json"
UNFINISHED = "unfinished.json"
SAMPLES = "samples.jsonl"
REPORT = "report.html"
PARTS = "parts"
"""Folder of what each of several processes did, until it is put together (`shares.py`)."""
PARTS_LOCK = "parts.lock"


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What an evaluation found. `intervals` (95 %): of the metrics that are means over samples."""

    folder: Path
    stamp: Stamp
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]
    num_samples: int
    finished: str
    runs: Sequence[Run]  # the processes that worked on it: more than one when it was resumed
    tables: Sequence[Table] = ()
    published: Sequence[Published] = ()

    def samples(self) -> list[Sample]:
        """The samples behind the metrics; ValueError when some are missing or too many."""
        path = self.folder / SAMPLES
        samples = read_samples(path)
        if len(samples) != self.num_samples:
            raise ValueError(
                f"{path}: expected {self.num_samples} samples as {RESULT} says, found "
                f"{len(samples)}; the file was cut or changed: copy it again or evaluate anew"
            )
        return samples

    def to_json(self) -> dict[str, Any]:
        """The document that `result.json` holds. A metric that is no finite number is "NaN",
        "Infinity" or "-Infinity", which JSON lacks and `float()` reads."""
        document = {"format": FORMAT} | dataclasses.asdict(self)
        del document["folder"]
        document["metrics"] = {name: number_json(value) for name, value in self.metrics.items()}
        return dict(plain(document))

    def save(self) -> None:
        """Write `result.json` into the folder."""
        write_json(self.folder / RESULT, self.to_json())


def load_result(folder: str | Path) -> Result:
    """The result in `folder`; ValueError that says what is there instead."""
    folder = Path(folder)
    path = folder / RESULT
    if not path.exists():
        raise ValueError(_what_is(folder))
    document = read_json(path)
    with explained(path):
        return Result(
            folder=folder,
            stamp=Stamp(**document["stamp"]),
            metrics={name: float(value) for name, value in document["metrics"].items()},
            intervals={name: Interval(*ends) for name, ends in document["intervals"].items()},
            num_samples=int(document["num_samples"]),
            finished=str(document["finished"]),
            runs=[Run(**run) for run in document["runs"]],
            tables=[Table(**table) for table in document["tables"]],
            published=[Published(**number) for number in document["published"]],
        )


def read_json(path: Path) -> dict[str, Any]:
    """The object in one of our JSON files; ValueError: damaged, or of a newer format than ours."""
    try:
        document = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); restore it or evaluate anew") from error
    if not isinstance(document, dict) or not isinstance(document.get("format"), int):
        raise ValueError(f"{path} was not written by an mlcd evaluation: it has no format number")
    if document["format"] > FORMAT:
        raise ValueError(
            f"{path} has format {document['format']}, this mlcd reads up to {FORMAT}; "
            f"it was written by a newer mlcd: upgrade this one"
        )
    return document


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write strict JSON for people and programs, atomically."""
    write_text(path, json_text(document, indent=2) + "\n")


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """What goes wrong inside while fields are read is said as a damaged `path`."""
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged: {type(error).__name__} {error}; restore it or evaluate anew"
        ) from error


def _what_is(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder} is not a folder; expected one that an evaluation wrote"
    if begun := [*folder.glob(UNFINISHED), *folder.glob(f"{PARTS}/*/{UNFINISHED}")]:
        logs = [path.with_name(SAMPLES) for path in begun]
        done = len({own["id"] for log in logs if log.exists() for own in read_samples(log)})
        total = read_json(begun[0]).get("num_samples")
        counted = f"{done} of {total}" if total else str(done)
        return (
            f"{folder}: the evaluation is unfinished, {counted} samples are done; "
            f"run the same command again and it goes on from there"
        )
    return f"{folder} holds no {RESULT}; expected a folder that an evaluation wrote"
