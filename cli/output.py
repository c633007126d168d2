"""What commands say: data on stdout, notes and progress on stderr."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlcd.core.results import Result


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(document, indent=2))


def note(text: str) -> None:
    """A line for people, on stderr."""
    print(text, file=sys.stderr)


def shown(path: str | Path) -> str:
    """The path as text that any terminal takes: names of files need not be valid text."""
    return os.fsencode(path).decode(errors="backslashreplace")


def print_result(result: Result, *, json: bool) -> None:
    """What an evaluation found, and where its report is."""
    if json:
        print_json({"result": str(result.folder), **result.to_json()})
        return
    print(result.stamp.protocol)
    width = max(map(len, result.metrics))
    for name, value in result.metrics.items():
        interval = result.intervals.get(name)
        ends = f"  ({interval.low:.4f} to {interval.high:.4f})" if interval else ""
        print(f"  {name:{width}} {value:.4f}{ends}")
    for number in result.published:
        print(f"  the paper's: {number.metric} {number.value:.4f} {number.model} ({number.source})")
    note(f"report: {shown(result.folder / 'report.html')}")


@contextlib.contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Give the function that is told (done, total). Nothing is drawn when stderr is no terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
