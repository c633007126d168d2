"""The embeddings of a labelled set while it is evaluated: a file that a kill leaves usable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlcd.apps.retrieval.intake import Progress
from mlcd.apps.retrieval.vectors import Vectors
from mlcd.core.datasets.retrieval_set import LabelledImage
from mlcd.core.embedding import embed_images
from mlcd.core.files import atomic_path
from mlcd.core.towers import VisionTower

NAMED = 3  # unreadable pictures that the error names


def embed_table(
    path: Path,
    images: Sequence[LabelledImage],
    tower: VisionTower,
    batch_size: int,
    progress: Progress | None = None,
) -> Vectors:
    """Embeddings of all `images`, (N, D) float32, kept in `path`: what is there is not done again.

    The caller answers for `path` belonging to this tower and set. ValueError naming pictures that
    cannot be read, after all others are done.
    """
    shape = (len(images), tower.config.output_dim)
    if not path.exists():
        # NaN: not done; in a row that a kill tears, some numbers stay like this. Written, not
        # mapped: a full disk is an error here and would be a SIGBUS there.
        with atomic_path(path) as part, part.open("wb") as file:
            np.save(file, np.full(shape, np.nan, dtype=np.float32))
    table: np.memmap[Any, np.dtype[np.float32]] = np.load(path, mmap_mode="r+")
    if table.shape != shape:
        raise ValueError(f"{path} holds embeddings {table.shape}, expected {shape}; delete it")
    left = np.flatnonzero(np.isnan(table).any(axis=1)).tolist()
    failures: list[str] = []
    done = len(images) - len(left)
    sources = [images[row].source for row in left]
    for batch in embed_images(tower, sources, batch_size=batch_size):
        if len(batch.indices):
            table[[left[i] for i in batch.indices]] = batch.embeddings
        failures += [str(error) for _, error in batch.failures]
        done += len(batch.indices)
        if progress is not None:
            progress(done, len(images))
    table.flush()
    if failures:
        raise ValueError(
            f"{len(failures):,} of {len(images):,} pictures cannot be read, and the set is "
            f"measured whole or not at all: {'; '.join(failures[:NAMED])}"
        )
    return table
