"""Labels back from their files, each row checked against the picture that it was written for."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcd.core.files import atomic_path
from mlcd.core.images import ImageError
from mlcd.core.optional import require
from mlcd.core.pictures import PictureSource
from mlcd.core.shards import Shards
from mlcd.training.clusters.assign import NO_LABEL
from mlcd.training.clusters.blocks import BLOCK
from mlcd.training.clusters.labels import Part, key_of, label_parts, made_of, picture_bytes


@dataclass(frozen=True, slots=True)
class LabelBlock:
    """Labels of consecutive pictures, `NO_LABEL` where there are fewer."""

    start: int
    labels: NDArray[np.int32]
    """(b, l)."""
    similarities: NDArray[np.float32]
    """(b, l); those without a label mean nothing."""


def read_blocks(
    pictures: PictureSource, folder: Path | None = None, *, check_bytes: bool = False
) -> Iterator[LabelBlock]:
    """The labels of all pictures in order, checked row by row against keys and sizes of files.

    `check_bytes` reads every picture and compares its checksum too. ValueError naming the first
    row that does not belong to its picture, when pictures were changed or reordered since.
    """
    parquet = require("pyarrow.parquet", extra="train")
    for part in label_parts(pictures, folder):
        if not part.file.exists():
            raise ValueError(f"{part.file}: there are no labels; run the step `assign` first")
        with parquet.ParquetFile(part.file) as file:
            if file.metadata.num_rows != part.stop - part.start:
                raise ValueError(
                    f"{part.file} has {file.metadata.num_rows:,} rows for "
                    f"{part.stop - part.start:,} pictures: they were changed since; label them anew"
                )
            width = int(made_of(part.file, file.schema_arrow)["num_labels"])
            start = part.start
            for batch in file.iter_batches(batch_size=BLOCK):
                _check_rows(part, batch, pictures, start, check_bytes=check_bytes)
                yield _block(batch, start, width)
                start += batch.num_rows


def read_labels(
    pictures: PictureSource, folder: Path | None = None, *, into: Path | None = None
) -> NDArray[np.int32]:
    """The labels of all pictures, `NO_LABEL` where there are fewer: (N, l) int32.

    In memory, or mapped from the .npy file `into`, which is written first.
    """
    labels: NDArray[np.int32] | None = None
    with atomic_path(into) if into is not None else nullcontext() as temporary:
        for block in read_blocks(pictures, folder):
            if labels is None:
                shape = (len(pictures), block.labels.shape[1])
                labels = (
                    np.empty(shape, dtype=np.int32)
                    if temporary is None
                    else np.lib.format.open_memmap(temporary, "w+", np.dtype(np.int32), shape)
                )
            labels[block.start : block.start + len(block.labels)] = block.labels
    assert labels is not None, "a source has at least one picture"
    if into is not None:
        mapped: NDArray[np.int32] = np.load(into, mmap_mode="r")
        return mapped
    return labels


def _check_rows(
    part: Part, batch: Any, pictures: PictureSource, start: int, *, check_bytes: bool
) -> None:
    """ValueError naming the first row of a batch that does not belong to its picture."""
    columns = {name: batch.column(name).to_pylist() for name in ("key", "bytes", "crc32")}
    for row, (key, size, checksum) in enumerate(zip(*columns.values(), strict=True)):
        number = start + row
        now = key_of(pictures, number)
        said = f"key {key!r}, the picture there is {now!r}" if key != now else None
        if said is None and size is not None and (found := _size(pictures, number)) != size:
            said = f"a file of {size:,} bytes for {key!r}, it has {found:,}"
        if said is None and size is not None and check_bytes:
            data = picture_bytes(pictures, number)
            if data is None or zlib.crc32(data) != checksum:
                said = f"other bytes for {key!r} (their checksum differs)"
        if said is not None:
            raise ValueError(
                f"{part.file}: row {number - part.start} has {said}: pictures were changed or "
                "reordered since they were labelled; label them anew"
            )


def _size(pictures: PictureSource, number: int) -> int:
    """Bytes of the picture's file, without reading it; 0 when it is gone."""
    if isinstance(pictures, Shards):
        return pictures.image_size(number)
    try:
        return Path(str(pictures.read(number))).stat().st_size
    except (ImageError, OSError):
        return 0


def _block(batch: Any, start: int, width: int) -> LabelBlock:
    labels = np.full((batch.num_rows, width), NO_LABEL, dtype=np.int32)
    similarities = np.zeros(labels.shape, dtype=np.float32)
    lists = batch.column("labels")
    is_label = np.arange(width) < lists.value_lengths().to_numpy()[:, None]
    labels[is_label] = lists.flatten().to_numpy()
    similarities[is_label] = batch.column("similarities").flatten().to_numpy()
    return LabelBlock(start, labels, similarities)
