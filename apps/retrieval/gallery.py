"""`Gallery`: a folder on disk that finds, for a picture, the pictures most like it.

The folder holds `metadata.sqlite` (what there is; see `store.py`), `vectors-N.f32` (one row a
picture) and, for an approximate index, `index-N.faiss`. Pictures are known by their absolute
paths, so a gallery may be moved freely; pictures that are moved have to be added from their new
place, which costs a hash each, and can be dropped from the old one with `remove(missing())`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlcd.apps.retrieval import changes
from mlcd.apps.retrieval.errors import GalleryError
from mlcd.apps.retrieval.identity import (
    built_with,
    check_same_tower,
    empty_state,
    load_as_built,
)
from mlcd.apps.retrieval.index import IndexKind, check_kind
from mlcd.apps.retrieval.intake import Failure, Progress, absolute, expand, stage_pictures
from mlcd.apps.retrieval.metadata import State, Transaction
from mlcd.apps.retrieval.near_duplicates import duplicate_groups
from mlcd.apps.retrieval.region import Region, crop_region
from mlcd.apps.retrieval.snapshot import Snapshot
from mlcd.apps.retrieval.store import Store
from mlcd.apps.retrieval.vectors import Vectors
from mlcd.core.images import ImageSource, read_image
from mlcd.core.towers import VisionTower, load_tower
from mlcd.core.towers.int8 import is_int8, quantize_int8

QUERY_BATCH = 32  # pictures through the tower at once
SEARCH_BATCH = 256  # queries answered in one transaction, which a writer may have to wait for


@dataclass(frozen=True, slots=True)
class Hit:
    """A picture that was found, and the cosine of its embedding with the query's."""

    path: Path
    score: float


@dataclass(frozen=True, slots=True)
class AddReport:
    """What an `add` did: pictures that are new, changed, as they were, or unreadable."""

    added: int
    changed: int
    unchanged: int
    failures: Sequence[Failure]


class Gallery:
    """A gallery that was opened. Threads may search it at the same time; one process changes it."""

    def __init__(self, folder: Path, *, tower: VisionTower | None = None) -> None:
        """Use `Gallery.create` or `Gallery.open`."""
        self.folder = folder
        self._store = Store(folder)
        self._tower = tower
        self._cached: Snapshot | None = None

    @classmethod
    def create(
        cls,
        folder: str | Path,
        tower: str | Path | VisionTower = "things-tiny",
        *,
        index: IndexKind = "exact",
        int8: bool = False,
    ) -> Gallery:
        """An empty gallery in `folder`, for embeddings of `tower` (what `load_tower` takes).

        With `int8` the tower computes in 8-bit whole numbers, now and whenever it is opened.
        GalleryError when there is one already; ValueError for an unknown index.
        """
        loaded = tower if isinstance(tower, VisionTower) else load_tower(tower)
        if int8 and not is_int8(loaded):
            loaded = quantize_int8(loaded)
        Store(Path(folder)).create(empty_state(loaded, check_kind(index)))
        return cls(Path(folder), tower=loaded)

    @classmethod
    def open(cls, folder: str | Path, *, tower: str | Path | VisionTower | None = None) -> Gallery:
        """The gallery in `folder`, with the tower that it was built with, or this one.

        GalleryError when `tower` is another one, when the gallery is half written, damaged, or of a
        newer format, and when there is none. Without `tower` the weights are loaded, and compared,
        when first needed.
        """
        gallery = cls(Path(folder))
        snapshot = gallery._snapshot()
        if tower is not None:
            loaded = (
                tower if isinstance(tower, VisionTower) else load_as_built(snapshot.state, tower)
            )
            check_same_tower(gallery.folder, snapshot.state, loaded)
            gallery._tower = loaded
        return gallery

    def __len__(self) -> int:
        return self._snapshot().count

    @property
    def state(self) -> State:
        """Tower, index and generation."""
        return self._snapshot().state

    @property
    def tower(self) -> VisionTower:
        """The tower that the gallery was built with. GalleryError when it now has other weights."""
        if self._tower is None:
            state = self.state
            try:
                tower = load_as_built(state, state.tower)
            except (ValueError, OSError) as error:
                raise GalleryError(
                    f"{self.folder} was built with {built_with(state)}, "
                    f"which cannot be loaded: {error}; give the tower explicitly"
                ) from error
            check_same_tower(self.folder, state, tower)
            self._tower = tower
        return self._tower

    def paths(self) -> list[Path]:
        """The pictures in the order they came."""
        with self._store.reading() as transaction:
            return [entry.path for entry in transaction.entries()]

    def missing(self) -> list[Path]:
        """Pictures whose files are no longer there."""
        return [path for path in self.paths() if not path.exists()]

    # -- changing ------------------------------------------------------------------------------

    def add(
        self,
        pictures: str | Path | Iterable[str | Path],
        *,
        batch_size: int = 32,
        progress: Progress | None = None,
    ) -> AddReport:
        """Take in pictures, named one by one or by their folders, and all of them at once.

        Unchanged files are skipped: by size and time, else by content. Unreadable ones are
        reported; one that the gallery knew stays as it was. Interrupted in any way, the gallery is
        the old one, and the same call later goes on where this one was.
        """
        paths = expand(pictures)
        tower = self.tower
        with self._store.writer():
            self._check_whole()
            failures = stage_pictures(
                self._store, tower, paths, batch_size=batch_size, progress=progress
            )
            added, changed = changes.publish(self._store, paths)
        unchanged = len(paths) - added - changed - len(failures)
        return AddReport(added, changed, unchanged, failures)

    def remove(self, pictures: str | Path | Iterable[str | Path]) -> int:
        """Forget pictures, named one by one or by their folders; how many. The files stay.

        ValueError, and nothing is forgotten, when one is not in the gallery.
        """
        given = [pictures] if isinstance(pictures, (str, Path)) else list(pictures)
        with self._store.writer():
            return changes.remove(self._store, [absolute(path) for path in given])

    def rebuild(self, *, index: IndexKind | None = None) -> None:
        """Write the vectors without those of removed pictures and the index anew, or another one.

        GalleryError when a vector does not fit its picture; `check` lists those.
        """
        with self._store.writer():
            changes.rebuild(self._store, index)

    def discard(self) -> None:
        """Delete the folder of a gallery that has no pictures, as after an `add` that read none.

        GalleryError, and nothing is deleted, when it has some.
        """
        with self._store.writer():
            changes.discard(self._store)

    # -- searching -----------------------------------------------------------------------------

    def search(self, image: ImageSource, k: int = 10, *, region: Region | None = None) -> list[Hit]:
        """The `k` pictures most like `image`, or like the part of it inside `region`, best first.

        `region` is x0, y0, x1, y1 in pixels. A picture of the gallery finds itself too.
        """
        picture = read_image(image)
        return self.search_many([picture if region is None else crop_region(picture, region)], k)[0]

    def search_many(self, images: Sequence[ImageSource], k: int = 10) -> list[list[Hit]]:
        """`search` for many pictures: one list of hits each."""
        parts = [
            self.tower.embed(images[start : start + QUERY_BATCH]).numpy()
            for start in range(0, len(images), QUERY_BATCH)
        ]
        return self.search_embeddings(np.concatenate(parts), k) if parts else []

    def search_embeddings(self, queries: Vectors, k: int = 10) -> list[list[Hit]]:
        """`search` for embeddings (Q, D) of the gallery's tower, float32 and L2-normalised."""
        if k < 1:
            raise ValueError(f"k: expected at least 1, got {k}")
        found: list[list[Hit]] = []
        for start in range(0, len(queries), SEARCH_BATCH):
            found += self._answer(queries[start : start + SEARCH_BATCH], k)
        return found

    def near_duplicates(self, threshold: float = 0.95) -> list[list[Path]]:
        """Groups of pictures that are joined by cosines of at least `threshold`.

        Every pair is compared: four times the pictures take sixteen times as long.
        """
        with self._store.reading() as transaction:
            snapshot = Snapshot.load(self.folder, transaction, with_index=False)
            entries = list(transaction.entries())
        vectors = snapshot.vectors if snapshot.live is None else snapshot.vectors[snapshot.live]
        groups = duplicate_groups(vectors, threshold)
        return [[entries[place].path for place in group] for group in groups]

    # -- inside --------------------------------------------------------------------------------

    def _check_whole(self) -> None:
        """GalleryError when a file of the gallery is missing or cut, now."""
        with self._store.reading() as transaction:
            Snapshot.load(self.folder, transaction, with_index=False)

    def _snapshot(self) -> Snapshot:
        with self._store.reading() as transaction:
            return self._seen_by(transaction)

    def _seen_by(self, transaction: Transaction) -> Snapshot:
        """What the transaction sees: the snapshot in hand, unless a change was published since."""
        cached = self._cached
        if cached is None or cached.state.generation != transaction.state().generation:
            cached = self._cached = Snapshot.load(self.folder, transaction)
        return cached

    def _answer(self, queries: Vectors, k: int) -> list[list[Hit]]:
        with self._store.reading() as transaction:  # vectors and names of the same moment
            snapshot = self._seen_by(transaction)
            if queries.ndim != 2 or queries.shape[1] != snapshot.state.dim:
                raise ValueError(
                    f"queries: expected (Q, {snapshot.state.dim}), got {queries.shape}"
                )
            if snapshot.count == 0:
                raise GalleryError(_why_empty(self.folder, transaction.count_staged()))
            found = snapshot.nearest(queries, k)
            entries = transaction.entries_at(sorted({row for hits in found for row, _ in hits}))
        for row in {row for hits in found for row, _ in hits}:
            if row not in entries or not entries[row].fits(snapshot.vectors[row]):
                raise GalleryError(
                    f"{self.folder}: vector {row} does not belong to the picture that the metadata "
                    f"name for it; see `mlcd retrieval check {self.folder}`"
                )
        return [[Hit(entries[row].path, score) for row, score in hits] for hits in found]


def _why_empty(folder: Path, staged: int) -> str:
    if staged:
        return (
            f"{folder} is half written: its indexing was interrupted with {staged:,} pictures "
            f"ready; run the same `mlcd retrieval index` or `add` again to finish it"
        )
    return f"{folder} holds no pictures yet; add some with `mlcd retrieval add {folder} PICTURES`"
