"""Pictures on their way into a gallery: which need embedding, and keeping what has been embedded.

A file is known by size and time, and when these have changed by its content; a file whose content
the gallery holds under another name takes its vector from there. So what was moved, copied or
merely touched costs a hash, not a pass through the tower.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import file_digest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlcd.apps.retrieval.metadata import Entry, row_checksum
from mlcd.apps.retrieval.store import Store
from mlcd.apps.retrieval.vectors import append_vectors, map_vectors
from mlcd.core.embedding import embed_images
from mlcd.core.images import list_images
from mlcd.core.ordered import ordered_map
from mlcd.core.towers import VisionTower

CHUNK = 1024  # files that are looked at before the tower is asked
KEEP_AFTER_S = 2.0  # work that a kill may cost

Progress = Callable[[int, int], None]
"""Told how many pictures of how many are done."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A picture that could not be taken in, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class FileState:
    """A file as it was when it was read."""

    path: Path
    size: int
    mtime_ns: int
    sha256: bytes = b""

    @classmethod
    def of(cls, path: Path) -> FileState:
        """The file as it is now, without its hash. OSError when it is not there."""
        found = path.stat()
        return cls(path, found.st_size, found.st_mtime_ns)

    def hashed(self) -> FileState:
        """The same with the SHA-256 of the content."""
        with self.path.open("rb") as file:
            return replace(self, sha256=file_digest(file, "sha256").digest())

    def is_still(self, entry: Entry | None) -> bool:
        """Whether size and time are those that the gallery noted."""
        return entry is not None and (self.size, self.mtime_ns) == (entry.size, entry.mtime_ns)


def expand(pictures: str | Path | Iterable[str | Path]) -> list[Path]:
    """Absolute paths of pictures named one by one or by their folders, each once, in order.

    ValueError when a path does not exist or a folder holds no picture.
    """
    given = [pictures] if isinstance(pictures, (str, Path)) else list(pictures)
    found: dict[Path, None] = {}
    for path in map(absolute, given):
        if path.is_dir():
            found.update(dict.fromkeys(list_images(path)))
        elif path.exists():
            found[path] = None
        else:
            raise ValueError(f"{path}: no such picture or folder")
    return list(found)


def absolute(path: str | Path) -> Path:
    """The path from the root, `..` taken out, links kept: what a gallery stores."""
    return Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - resolve() follows links


def stage_pictures(
    store: Store,
    tower: VisionTower,
    paths: Sequence[Path],
    *,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> list[Failure]:
    """Bring the gallery's staged pictures up to date with these files; what could not be read.

    However it ends, by a kill, Ctrl-C or a full disk: what was staged until then stays.
    """
    failures: list[Failure] = []
    done = 0

    def finished(files: Sequence[FileState], reason: str | None = None) -> None:
        nonlocal done
        if reason is not None:
            failures.extend(Failure(file.path, reason) for file in files)
        done += len(files)
        if progress is not None:
            progress(done, len(paths))

    with _Stage(store) as stage:
        for start in range(0, len(paths), CHUNK):
            chunk = paths[start : start + CHUNK]
            fresh, unreadable = _sort_out(store, stage, chunk)
            failures += unreadable
            done += len(chunk) - len(fresh)
            finished([])
            same: dict[bytes, list[FileState]] = {}
            for file in fresh:
                same.setdefault(file.sha256, []).append(file)
            groups = list(same.values())
            for group, vector in _embedded(tower, groups, batch_size):
                if isinstance(vector, str):
                    finished(group, vector)
                    continue
                for file in group:
                    if _has_changed(file):
                        finished([file], f"{file.path}: changed while it was read; add it again")
                    else:
                        stage.add(file, vector)
                        finished([file])
    return failures


class _Stage:
    """Embedded pictures on their way to the disk: written every few seconds, and at the end.

    The end may be Ctrl-C or an error elsewhere; only what fails to be written itself is given up.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._files: list[FileState] = []
        self._vectors: list[NDArray[np.float32]] = []
        self._written_s = time.monotonic()

    def __enter__(self) -> _Stage:
        return self

    def __exit__(self, *reason: object) -> None:
        self.write()

    def add(self, file: FileState, vector: NDArray[np.float32]) -> None:
        """Take a picture and its vector (D,)."""
        self._files.append(file)
        self._vectors.append(vector)
        if time.monotonic() - self._written_s > KEEP_AFTER_S:
            self.write()

    def write(self) -> None:
        """Stage what was taken: first the vectors, then the transaction that counts them."""
        files, vectors = self._files, self._vectors
        self._files, self._vectors, self._written_s = [], [], time.monotonic()
        if not files:
            return
        with self._store.writing() as transaction:
            state = transaction.state()
            stacked = np.stack(vectors)  # (n, D)
            append_vectors(self._store.folder / state.vectors_file, state.rows, stacked)
            transaction.stage(
                Entry(row, file.path, file.size, file.mtime_ns, file.sha256, checksum)
                for row, (file, vector) in enumerate(zip(files, stacked, strict=True), state.rows)
                for checksum in [row_checksum(row, file.path, file.sha256, vector)]
            )
            transaction.set_state(replace(state, rows=state.rows + len(files)))


def _sort_out(
    store: Store, stage: _Stage, paths: Sequence[Path]
) -> tuple[list[FileState], list[Failure]]:
    """Files that the tower has to see, and those that cannot be read; all others are dealt with."""
    failures: list[Failure] = []
    files: list[FileState] = []
    for path in paths:
        try:
            files.append(FileState.of(path))
        except OSError as error:
            failures.append(Failure(path, f"{path}: {error.strerror}"))
    with store.reading() as transaction:
        known = {file.path: transaction.known(file.path) for file in files}

    # What an interrupted add has staged is newer than what searches find.
    unsure = [file for file in files if not file.is_still(_latest(known[file.path]))]
    fresh: list[FileState] = []
    hashed: list[FileState] = []
    for file in ordered_map(_try_hash, unsure):
        if isinstance(file, Failure):
            failures.append(file)
        else:
            hashed.append(file)
    if not hashed:
        return fresh, failures
    copies: list[tuple[FileState, NDArray[np.float32]]] = []
    with store.writing() as transaction:
        state = transaction.state()
        vectors = map_vectors(store.folder / state.vectors_file, state.rows, state.dim)
        for file in hashed:
            found, staged = known[file.path]
            if staged is None or staged.sha256 != file.sha256:
                transaction.unstage(file.path)
                if found is None or found.sha256 != file.sha256:
                    twin = transaction.with_content(file.sha256)
                    if twin is not None and twin.fits(vectors[twin.row]):
                        copies.append((file, np.array(vectors[twin.row])))
                    else:
                        fresh.append(file)
                    continue
            transaction.touch(file.path, size=file.size, mtime_ns=file.mtime_ns, sha256=file.sha256)
    for file, vector in copies:
        stage.add(file, vector)  # may write, so not inside the transaction
    return fresh, failures


def _latest(known: tuple[Entry | None, Entry | None]) -> Entry | None:
    found, staged = known
    return staged or found


def _try_hash(file: FileState) -> FileState | Failure:
    try:
        return file.hashed()
    except OSError as error:
        return Failure(file.path, f"{file.path}: {error.strerror}")


def _has_changed(file: FileState) -> bool:
    try:
        now = FileState.of(file.path)
    except OSError:
        return True
    return (now.size, now.mtime_ns) != (file.size, file.mtime_ns)


def _embedded(
    tower: VisionTower, groups: Sequence[list[FileState]], batch_size: int
) -> Iterator[tuple[list[FileState], NDArray[np.float32] | str]]:
    """Each group of files of one content with its vector (D,), or the reason why it has none."""
    sources = [group[0].path for group in groups]
    for batch in embed_images(tower, sources, batch_size=batch_size):
        for place, vector in zip(batch.indices, batch.embeddings, strict=True):
            yield groups[place], vector
        for place, error in batch.failures:
            yield groups[place], str(error)
