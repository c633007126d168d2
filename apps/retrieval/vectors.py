"""The vectors of a gallery: one file of float32 rows that only ever grows.

How many of its rows count is written in the metadata, so what a kill leaves behind the last
counted row is no part of the gallery: nobody reads it, and the next append writes over it.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlcd.apps.retrieval.errors import GalleryError

Vectors = NDArray[np.float32]
ITEM = np.dtype("<f4")  # on disk, whatever the machine


def map_vectors(path: Path, rows: int, dim: int) -> Vectors:
    """The first `rows` rows, memory-mapped and not to be written: (rows, dim) float32.

    GalleryError when the file is missing or holds fewer rows.
    """
    if rows == 0:
        return np.empty((0, dim), dtype=ITEM)
    expected = rows * dim * ITEM.itemsize
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise GalleryError(
            f"{path} is missing: the gallery was copied or deleted in part; "
            f"copy it again, or index the pictures into a new gallery"
        ) from None
    if size < expected:
        raise GalleryError(
            f"{path} holds {size:,} bytes, expected at least {expected:,} for {rows:,} vectors: "
            f"the gallery is half written; copy it again, or index the pictures into a new gallery"
        )
    # Copy-on-write, because torch warns about arrays that it may not write to.
    return np.memmap(path, dtype=ITEM, mode="c", shape=(rows, dim))


def append_vectors(path: Path, at_row: int, vectors: Vectors) -> None:
    """Write `vectors` (n, dim) from row `at_row` on and wait until the disk has them.

    OSError when the disk is full; the rows before `at_row` are untouched by anything that happens.
    """
    data = memoryview(vectors.astype(ITEM).tobytes())
    start = at_row * vectors.shape[1] * ITEM.itemsize
    is_new = not path.exists()
    with path.open("wb" if is_new else "r+b", buffering=0) as file:
        if file.seek(0, os.SEEK_END) < start:
            raise GalleryError(f"{path} is shorter than its {at_row:,} vectors: half written")
        file.truncate(start)
        file.seek(start)
        while data:
            data = data[file.write(data) :]
        os.fsync(file.fileno())
    if is_new:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the disk knows the names in `folder`."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
