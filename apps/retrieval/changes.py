"""The changes of a gallery that a search can see: each is one transaction.

All of them expect the caller to hold `Store.writer()`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlcd.apps.retrieval.errors import GalleryError
from mlcd.apps.retrieval.index import (
    FaissIndex,
    IndexKind,
    check_kind,
    check_size,
    measured_recall,
)
from mlcd.apps.retrieval.metadata import Entry, State, Transaction, row_checksum
from mlcd.apps.retrieval.store import LOCK, Store
from mlcd.apps.retrieval.vectors import Vectors, append_vectors, map_vectors, sync_folder

BLOCK = 16_384  # vectors copied at once


def publish(store: Store, paths: Iterable[Path]) -> tuple[int, int]:
    """Let searches find what is staged for `paths`: how many are new, how many have changed."""
    with store.writing() as transaction:
        added, changed = transaction.publish(paths)
        state = transaction.state()
        if added or changed:
            state = replace(state, generation=state.generation + 1)
            transaction.set_state(_with_index(store.folder, state, _live(transaction, state)))
    sweep(store)
    return added, changed


def remove(store: Store, paths: Sequence[Path]) -> int:
    """Forget the pictures at or under `paths`; how many. ValueError when one is not there."""
    with store.writing() as transaction:
        found: set[Path] = set()
        for path in paths:
            inside = transaction.at_or_under(path)
            if not inside:
                raise ValueError(f"{path} is not in {store.folder}; nothing was removed")
            found.update(inside)
        transaction.remove(found)
        state = transaction.state()
        transaction.set_state(replace(state, generation=state.generation + 1))
    return len(found)


def rebuild(store: Store, kind: IndexKind | None) -> None:
    """Vectors without those of removed pictures, and the index from nothing."""
    with store.writing() as transaction:
        old = transaction.state()
        kind = check_kind(kind or old.index_kind)
        if count := transaction.count():  # before anything is written
            check_size(kind, count, old.dim)
        state = replace(
            old,
            index_kind=kind,
            index_file=None,
            index_recall=None,
            generation=old.generation + 1,
            vectors_file=f"vectors-{old.generation + 1}.f32",
            rows=0,
        )
        entries = list(transaction.entries())
        moved: list[Entry] = []
        vectors = map_vectors(store.folder / old.vectors_file, old.rows, old.dim)
        for start in range(0, len(entries), BLOCK):
            part = entries[start : start + BLOCK]
            block = vectors[[entry.row for entry in part]]  # (block, D)
            append_vectors(store.folder / state.vectors_file, start, block)
            moved += _moved(store, part, block, start)
        state = replace(state, rows=len(moved))
        transaction.replace_all(moved)
        transaction.set_state(_with_index(store.folder, state, None))
    sweep(store)


def discard(store: Store) -> None:
    """Delete a gallery that has no pictures. GalleryError, and it stays, when it has some."""
    with store.reading() as transaction:
        pictures = transaction.count() + transaction.count_staged()
        state = transaction.state()
    if pictures:
        raise GalleryError(f"{store.folder} holds {pictures:,} pictures and is not deleted")
    store.path.unlink()  # first: without it there is no gallery
    for path in (*leftovers(store.folder, replace(state, vectors_file="")), store.folder / LOCK):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something else is in the folder, or it is still in use
        store.folder.rmdir()


def sweep(store: Store) -> None:
    """Delete the files of the gallery that its metadata do not name: old ones, and a kill's."""
    with store.reading() as transaction:
        state = transaction.state()
    for path in leftovers(store.folder, state):
        path.unlink(missing_ok=True)


def leftovers(folder: Path, state: State) -> list[Path]:
    """Files that are no part of the gallery, though a gallery wrote them."""
    kept = {state.vectors_file, state.index_file}
    patterns = ("vectors-*.f32", "index-*.faiss", ".index-*.part", ".metadata.sqlite.*.part")
    return sorted(
        path for pattern in patterns for path in folder.glob(pattern) if path.name not in kept
    )


def _moved(store: Store, entries: Sequence[Entry], block: Vectors, start: int) -> Iterator[Entry]:
    for row, (entry, vector) in enumerate(zip(entries, block, strict=True), start):
        if not entry.fits(vector):
            raise GalleryError(
                f"{store.folder}: the vector of {entry.path} is damaged; remove that picture, add "
                f"it again, and rebuild then (`mlcd retrieval check` lists all of them)"
            )
        checksum = row_checksum(row, entry.path, entry.sha256, vector)
        yield replace(entry, row=row, checksum=checksum)


def _live(transaction: Transaction, state: State) -> NDArray[np.bool_]:
    live = np.zeros(state.rows, dtype=np.bool_)
    live[np.fromiter(transaction.rows(), dtype=np.int64)] = True
    return live


def _with_index(folder: Path, state: State, live: NDArray[np.bool_] | None) -> State:
    """`state` with an index of all its vectors, written to the disk where the kind keeps one."""
    kind = check_kind(state.index_kind)
    if kind in ("exact", "flat") or state.rows == 0:
        return replace(state, index_file=None, index_recall=None)
    vectors = map_vectors(folder / state.vectors_file, state.rows, state.dim)
    if state.index_file is None:
        index = FaissIndex.build(kind, vectors)
    else:
        index = FaissIndex.load(kind, folder / state.index_file)
        index.add(vectors[len(index) :])
    name = f"index-{state.generation}.faiss"
    index.save(folder / name)
    sync_folder(folder)
    return replace(state, index_file=name, index_recall=measured_recall(index, vectors, live=live))
