"""The embeddings of a set while it is evaluated: a file that a kill leaves usable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcd.core.embedding.stream import EmbeddingTower, embed_images
from mlcd.core.files import atomic_path
from mlcd.core.images import ImageSource

Progress = Callable[[int, int], None]
"""Told how many are done, of how many."""

NAMED = 3  # unreadable pictures that the error names


def embed_table(
    path: Path,
    sources: Sequence[ImageSource],
    tower: EmbeddingTower,
    *,
    width: int,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Embeddings of all `sources`, (N, `width`), kept in `path`: what is there is not done again.

    The caller answers for `path` belonging to this tower and set. ValueError naming pictures that
    cannot be read, after all others are done.
    """
    shape = (len(sources), width)
    if not path.exists():
        # NaN: not done; in a row that a kill tears, some numbers stay like this. Written, not
        # mapped: a full disk is an error here and would be a SIGBUS there.
        with atomic_path(path) as part, part.open("wb") as file:
            np.save(file, np.full(shape, np.nan, dtype=np.float32))
    table: np.memmap[Any, np.dtype[np.float32]] = np.load(path, mmap_mode="r+")
    if table.shape != shape:
        raise ValueError(f"{path} holds embeddings {table.shape}, expected {shape}; delete it")
    left: list[int] = np.flatnonzero(np.isnan(table).any(axis=1)).tolist()
    failures: list[str] = []
    done = len(sources) - len(left)
    for batch in embed_images(tower, (sources[row] for row in left), batch_size=batch_size):
        if len(batch.indices):
            table[[left[i] for i in batch.indices]] = batch.embeddings
        failures += [str(error) for _, error in batch.failures]
        done += len(batch.indices)
        if progress is not None:
            progress(done, len(sources))
    table.flush()
    if failures:
        raise ValueError(
            f"{len(failures):,} of {len(sources):,} pictures cannot be read, and the set is "
            f"measured whole or not at all: {'; '.join(failures[:NAMED])}"
        )
    return table
