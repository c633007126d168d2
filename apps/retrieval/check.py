"""What is wrong with a gallery, in words. Reads every vector; changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlcd.apps.retrieval.changes import leftovers
from mlcd.apps.retrieval.errors import GalleryError
from mlcd.apps.retrieval.identity import named
from mlcd.apps.retrieval.intake import FileState
from mlcd.apps.retrieval.metadata import Entry, State, Transaction
from mlcd.apps.retrieval.snapshot import Snapshot
from mlcd.apps.retrieval.store import Store

LENGTH_ERROR = 1e-3  # how far from 1 the length of a normalised vector may be
WORTH_REBUILDING = 0.3  # share of vectors that no search can find
SHOWN = 3  # paths named of a long list


@dataclass(frozen=True, slots=True)
class GalleryCheck:
    """`summary` says what the gallery is; it is sound when there are no `problems`."""

    summary: str
    problems: Sequence[str]
    notes: Sequence[str]


def check_gallery(folder: str | Path) -> GalleryCheck:
    """Compare everything in the gallery with everything else, and its pictures with their files.

    Never raises for what is wrong with the gallery: that is what it reports.
    """
    folder = Path(folder)
    store = Store(folder)
    try:
        with store.reading() as transaction:
            damage = transaction.damage()
            state = transaction.state()
            summary = _summary(folder, state, transaction.count())
            problems = [f"metadata: {text}" for text in damage]
            notes = _notes(folder, state, transaction)
            try:
                snapshot = Snapshot.load(folder, transaction)
            except GalleryError as error:
                return GalleryCheck(summary, [*problems, str(error)], notes)
            problems += _vector_problems(snapshot, transaction.entries(), "remove and add again")
            problems += _vector_problems(
                snapshot, transaction.staged(), "left by an interrupted add; rebuild drops them"
            )
            return GalleryCheck(summary, problems, [*notes, *_file_notes(transaction.entries())])
    except (ValueError, OSError) as error:
        return GalleryCheck(f"{folder}: cannot be opened", [str(error)], [])


def _summary(folder: Path, state: State, count: int) -> str:
    recall = "" if state.index_recall is None else f", recall@10 {state.index_recall:.3f} of exact"
    return (
        f"{folder}: {count:,} pictures, embeddings of {state.dim} numbers by "
        f"{named(state.tower, state.weights_sha256)}, {state.index_kind} index{recall}"
    )


def _notes(folder: Path, state: State, transaction: Transaction) -> list[str]:
    notes: list[str] = []
    count, staged = transaction.count(), transaction.count_staged()
    if staged:
        notes.append(
            f"an add was interrupted: {staged:,} pictures are ready and not yet found by searches; "
            f"run the same `mlcd retrieval index` or `add` again to finish it"
        )
    dead = state.rows - count - staged
    if state.rows and dead / state.rows > WORTH_REBUILDING:
        notes.append(
            f"{dead:,} of {state.rows:,} vectors are of removed pictures; "
            f"`mlcd retrieval rebuild {folder}` gives the space back"
        )
    if left := leftovers(folder, state):
        notes.append(
            f"left behind by an interrupted change, and harmless: {_some([p.name for p in left])}; "
            f"the next change deletes it"
        )
    return notes


def _vector_problems(snapshot: Snapshot, entries: Iterable[Entry], advice: str) -> list[str]:
    misfits: list[str] = []
    odd: list[str] = []
    for entry in entries:
        if entry.row >= len(snapshot.vectors):
            misfits.append(str(entry.path))
            continue
        vector = snapshot.vectors[entry.row]
        if not entry.fits(vector):
            misfits.append(str(entry.path))
        elif not abs(float(np.linalg.norm(vector)) - 1) < LENGTH_ERROR:  # not: NaN is odd too
            odd.append(str(entry.path))
    found = [
        (misfits, "vectors do not belong to the pictures that the metadata name for them"),
        (odd, "vectors are not of length 1"),
    ]
    return [f"{len(paths):,} {text}: {_some(paths)}; {advice}" for paths, text in found if paths]


def _file_notes(entries: Iterable[Entry]) -> list[str]:
    missing: list[str] = []
    changed: list[str] = []
    for entry in entries:
        try:
            if not FileState.of(entry.path).is_still(entry):
                changed.append(str(entry.path))
        except OSError:
            missing.append(str(entry.path))
    found = [
        (missing, "pictures are no longer where they were", "`mlcd retrieval remove --missing`"),
        (changed, "pictures were written to since", "`mlcd retrieval add` looks at them again"),
    ]
    return [f"{len(paths):,} {what}: {_some(paths)}; {do}" for paths, what, do in found if paths]


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")
