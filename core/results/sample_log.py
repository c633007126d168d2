"""`samples.jsonl`: one JSON object a line, appended as an evaluation goes, read back after a kill.

Owns the file's form. What a sample means is the evaluation's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from mlcd.core.results.plain_json import json_text, plain

Sample = dict[str, Any]


class SampleLog:
    """The open file: `samples` are those it holds, `append` adds one that survives a kill."""

    def __init__(self, path: Path) -> None:
        """Open or create `path`; a last line that a kill tore is dropped from the file.

        ValueError: a line before the last is damaged, or another process is writing the file.
        """
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            _lock(self._descriptor, path)
            whole = path.read_bytes().rpartition(b"\n")
            self._length = len(whole[0]) + len(whole[1])
            os.ftruncate(self._descriptor, self._length)
            self.samples = read_samples(path)
        except BaseException:
            self.close()
            raise

    def append(self, sample: Mapping[str, Any]) -> Sample:
        """Write one line and give the sample as it will be read back.

        OSError (a full disk) leaves the file as it was before.
        """
        line = json_text(plain(sample)).encode() + b"\n"
        try:
            written = 0
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
        except BaseException:
            os.ftruncate(self._descriptor, self._length)  # half a line would hide the next one
            raise
        self._length += len(line)
        kept: Sample = json.loads(line)
        self.samples.append(kept)
        return kept

    def close(self) -> None:
        """Let go of the file; twice does no harm."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> SampleLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            self.close()


def read_samples(path: str | Path) -> list[Sample]:
    """Every whole line of `path`, in order; a last line without its end is left out.

    ValueError naming the line: not a JSON object, no `id`, or an `id` that came before.
    """
    samples: list[Sample] = []
    line_of: dict[str, int] = {}
    for number, line in _whole_lines(Path(path)):
        try:
            sample = json.loads(line)
        except ValueError as error:  # not JSON, or not UTF-8
            raise ValueError(
                f"{path}, line {number} is not JSON ({error}); delete this line and run the "
                f"evaluation again: it does the one sample anew"
            ) from error
        if not isinstance(sample, dict) or not isinstance(sample.get("id"), str):
            raise ValueError(f"{path}, line {number}: expected an object with an id")
        if sample["id"] in line_of:
            raise ValueError(
                f"{path}, line {number}: sample {sample['id']!r} is already on line "
                f"{line_of[sample['id']]}; delete one of the two"
            )
        line_of[sample["id"]] = number
        samples.append(sample)
    return samples


def _whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.endswith(b"\n"):
                yield number, line


def _lock(descriptor: int, path: Path) -> None:
    """Hold the file for this process; the system lets go of it however the process ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ValueError(
            f"{path}: another process is writing this evaluation; wait for it or write elsewhere"
        ) from error
