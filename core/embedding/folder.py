"""Pictures to a folder of embeddings: `embeddings.npy`, `paths.txt`, and what failed.

    embeddings.npy    float32 (pictures read, E), L2-normalised rows
    paths.txt         UTF-8, one line a row: the picture's name (below its folder, or SHARD/KEY)
    failures.json     [{"index": ..., "path": ..., "reason": ...}, ...] of pictures without a row
    embedding.json    what the rows were made of: weights, preprocessing, pictures

Until all is done the rows gather in `unfinished/` (see `journal.py`); `embeddings.npy` appears
last, by one rename. A run that was interrupted or killed is taken up again by the same call.

`paths.txt` escapes nothing. A picture whose name would not be one line of UTF-8 (line breaks in
it, bytes that are no UTF-8) is therefore listed as failed, and asked to be renamed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlcd.core.embedding.journal import EmbeddingJournal
from mlcd.core.embedding.stamp import differences, run_stamp
from mlcd.core.embedding.stream import EmbeddedBatch, EmbeddingTower, embed_numbered
from mlcd.core.files import atomic_path, write_text
from mlcd.core.pictures import PictureSource, folder_pictures

_UNFINISHED = "unfinished"


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddedFolder:
    """What `embed_pictures` did."""

    output: Path
    rows: int
    width: int
    failures: list[tuple[str, str]]
    """Name and reason, of every picture without a row."""
    failed: list[int]
    """Their numbers, ascending: row r belongs to the r-th picture that is not among them."""
    resumed: int
    """Pictures that an earlier, interrupted run had already done."""


def embed_folder(
    tower: EmbeddingTower,
    folder: str | Path,
    output: str | Path,
    *,
    batch_size: int = 32,
    workers: int | None = None,
    show_progress: bool = False,
) -> EmbeddedFolder:
    """Embed every picture under `folder` into `output` (see above), taking up an unfinished run.

    `show_progress` draws a bar on stderr. ValueError when the folder has no readable picture, or
    when `output` was begun or made with other weights, preprocessing or pictures: nothing is
    overwritten, the message says what differs. OSError when the disk is full: what is done stays
    done.
    """
    pictures = folder_pictures(folder)
    with _progress(show_progress, total=len(pictures)) as advance:
        return embed_pictures(
            tower,
            pictures,
            output,
            batch_size=batch_size,
            workers=workers,
            on_pictures=advance,
            called=str(folder),
        )


def embed_pictures(
    tower: EmbeddingTower,
    pictures: PictureSource,
    output: str | Path,
    *,
    batch_size: int = 32,
    workers: int | None = None,
    on_pictures: Callable[[int, int], None] | None = None,
    batches: Callable[[range], Iterator[EmbeddedBatch]] | None = None,
    called: str = "the pictures given",
) -> EmbeddedFolder:
    """As `embed_folder`, of any source: shards are streamed. Errors call it by `called`.

    `on_pictures(done, total)` is told after each batch. `batches` gives the embedded batches of
    the pictures of a range, in order; left out, this process computes them (`embed_numbered`).
    """
    output = Path(output)
    if batch_size < 1:  # before a folder is made
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    stamp = run_stamp(tower, pictures)
    if finished := _finished(output, stamp):
        return finished
    with _unfinished(output, stamp) as work:
        journal = EmbeddingJournal(work)
        resumed = journal.stop
        numbers = range(journal.stop, len(pictures))
        if batches is None:
            found = embed_numbered(tower, pictures, numbers, batch_size=batch_size, workers=workers)
        else:
            found = batches(numbers)
        _embed_rest(found, pictures, journal, on_pictures)
        if not journal.rows:
            index, reason = journal.failures[0]
            shutil.rmtree(work)
            with contextlib.suppress(OSError):  # not empty: other things of the caller's are in it
                output.rmdir()
            raise ValueError(
                f"{called}: none of its {len(pictures)} pictures could be embedded; "
                f"the first: {pictures.name(index)}: {reason}"
            )
        with _saying_that_work_is_kept(output, journal):
            _finish(output, journal, pictures, stamp)
    return EmbeddedFolder(
        output=output,
        rows=journal.rows,
        width=journal.width,
        failures=[(pictures.name(index), reason) for index, reason in journal.failures],
        failed=[index for index, _ in journal.failures],
        resumed=resumed,
    )


def _embed_rest(
    batches: Iterator[EmbeddedBatch],
    pictures: PictureSource,
    journal: EmbeddingJournal,
    on_pictures: Callable[[int, int], None] | None,
) -> None:
    """Write down the pictures that the journal does not have yet."""
    first = journal.stop
    if on_pictures is not None:
        on_pictures(first, len(pictures))
    for batch in batches:
        failures = [(first + index, str(error)) for index, error in batch.failures]
        is_named = [_is_one_line(pictures.name(first + int(index))) for index in batch.indices]
        failures += [
            (
                first + int(index),
                "the name holds a line break or bytes that are no UTF-8; rename it",
            )
            for index, good in zip(batch.indices, is_named, strict=True)
            if not good
        ]
        with _saying_that_work_is_kept(journal.rows_file, journal):
            journal.append(first + batch.stop, batch.embeddings[is_named], sorted(failures))
        if on_pictures is not None:
            on_pictures(journal.stop, len(pictures))


def _finish(
    output: Path, journal: EmbeddingJournal, pictures: PictureSource, stamp: dict[str, Any]
) -> None:
    """Write the small files, then let `embeddings.npy` appear. May be interrupted and repeated."""
    journal.finish()
    failed = {index for index, _ in journal.failures}
    with (
        atomic_path(output / "paths.txt") as part,
        part.open("w", encoding="utf-8", newline="\n") as file,
    ):
        for index in range(len(pictures)):
            if index not in failed:
                file.write(f"{pictures.name(index)}\n")
    listed = [
        {"index": index, "path": pictures.name(index), "reason": reason}
        for index, reason in journal.failures
    ]
    write_text(output / "failures.json", json.dumps(listed, indent=1) + "\n")
    made = {**stamp, "rows": journal.rows, "width": journal.width}
    write_text(output / "embedding.json", json.dumps(made, indent=1) + "\n")
    journal.rows_file.replace(output / "embeddings.npy")
    shutil.rmtree(output / _UNFINISHED)


def _refuse_other(output: Path, stamp_file: Path, stamp: dict[str, Any]) -> dict[str, Any]:
    """The stamp in the file; ValueError when it is another than `stamp`."""
    try:
        then = json.loads(stamp_file.read_text(encoding="utf-8"))
        if not isinstance(then, dict):
            raise ValueError("no JSON object")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{stamp_file}: cannot be read ({error}); choose another output folder, or delete it"
        ) from error
    if differ := differences(then, stamp):
        raise ValueError(
            f"{output} was made with other inputs: {'; '.join(differ)}. "
            "Choose another output folder, or delete it to embed anew"
        )
    return then


def _finished(output: Path, stamp: dict[str, Any]) -> EmbeddedFolder | None:
    """What a finished run left in `output`; None when there is none."""
    if not (output / "embeddings.npy").exists():
        return None
    made = _refuse_other(output, output / "embedding.json", stamp)
    shutil.rmtree(output / _UNFINISHED, ignore_errors=True)  # killed right after the rename
    listed = json.loads((output / "failures.json").read_text(encoding="utf-8"))
    return EmbeddedFolder(
        output=output,
        rows=made["rows"],
        width=made["width"],
        failures=[(entry["path"], entry["reason"]) for entry in listed],
        failed=[entry["index"] for entry in listed],
        resumed=made["pictures"],
    )


@contextlib.contextmanager
def _unfinished(output: Path, stamp: dict[str, Any]) -> Iterator[Path]:
    """The folder of the run in hand, begun or taken up, and held by this process alone."""
    work = output / _UNFINISHED
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        _lock(lock.fileno(), output)
        if (work / "run.json").exists():
            _refuse_other(output, work / "run.json", stamp)
        else:
            write_text(work / "run.json", json.dumps(stamp))
        yield work


def _lock(descriptor: int, output: Path) -> None:
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ValueError(f"{output}: another process is embedding into it; wait for it") from error


@contextlib.contextmanager
def _saying_that_work_is_kept(path: Path, journal: EmbeddingJournal) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kept = f"{journal.stop} pictures are done and kept; the same command goes on from there"
        raise OSError(
            error.errno or errno.EIO, f"{error.strerror or error}; {kept}", str(path)
        ) from error


@contextlib.contextmanager
def _progress(is_shown: bool, *, total: int) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on stderr, and the function that moves it to so many pictures done of all."""
    if not is_shown:
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("embedding"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("pictures"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("embedding", total=total)
        yield lambda done, _: progress.update(task, completed=done)


def _is_one_line(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes of the file system that are no UTF-8
        return False
    return name.splitlines() == [name]
