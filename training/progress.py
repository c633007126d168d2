"""How far a run is, on stderr: a bar on a terminal, a line now and then in a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

_SECONDS_BETWEEN_LINES = 30.0


class Tell(Protocol):
    """Told after each step how many are done, and what the log says when it says something."""

    def __call__(self, done: int, line: Mapping[str, float]) -> None: ...


@contextmanager
def shown_progress(total: int, *, start: int = 0, is_shown: bool = True) -> Iterator[Tell]:
    """Give what is to be told after each step of `start` to `total`."""
    if not is_shown:
        yield lambda _done, _line: None
    elif sys.stderr.isatty():
        with _bar(total, start) as tell:
            yield tell
    else:
        yield _Lines(total, start)


@contextmanager
def _bar(total: int, start: int) -> Iterator[Tell]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[said]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("training", total=total, completed=start, said="")

        def tell(done: int, line: Mapping[str, float]) -> None:
            progress.update(task, completed=done)
            if line:
                progress.update(task, said=_said(line))

        yield tell


class _Lines:
    """For a stderr that goes into a file."""

    def __init__(self, total: int, start: int) -> None:
        self._total, self._start = total, start
        self._began = self._last = time.monotonic()

    def __call__(self, done: int, line: Mapping[str, float]) -> None:
        now = time.monotonic()
        is_due = line and now - self._last >= _SECONDS_BETWEEN_LINES
        if not (is_due or done == self._total):
            return
        self._last = now
        left_s = (now - self._began) / max(1, done - self._start) * (self._total - done)
        said = f", {_said(line)}" if line else ""
        text = f"step {done}/{self._total}{said}, {_clock(left_s)} left"
        print(text, file=sys.stderr, flush=True)


def _said(line: Mapping[str, float]) -> str:
    return f"loss {line['loss']:.4g}, {line['pictures_per_s']:.4g} pictures/s"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
