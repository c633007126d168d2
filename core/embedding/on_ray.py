"""The stream of embedded batches from many workers, in the order of the pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from mlcd.core.embedding.stream import EmbeddedBatch, EmbeddingTower, embed_numbered
from mlcd.core.images import ImageError
from mlcd.core.pictures import PictureSource
from mlcd.core.ray_workers import RayWorkers, Table

RANGE = 2_048  # pictures that a worker takes at once, and may lose


def ray_batches(
    workers: RayWorkers,
    load: Callable[[], EmbeddingTower],
    pictures: PictureSource,
    *,
    batch_size: int = 32,
    pictures_per_range: int = RANGE,
) -> Callable[[range], Iterator[EmbeddedBatch]]:
    """What `embed_pictures` takes as `batches`: each worker loads the tower once, by `load`."""

    def batches(numbers: range) -> Iterator[EmbeddedBatch]:
        ranges = [
            (start, min(start + pictures_per_range, numbers.stop))
            for start in range(numbers.start, numbers.stop, pictures_per_range)
        ]
        arguments = (load, workers.shared(pictures), batch_size)
        for table in workers.over_ranges(ranges, _Embedder, arguments=arguments):
            yield _batch(table, numbers.start)

    return batches


class _Embedder:
    """A tower and the pictures, on one worker."""

    def __init__(
        self, load: Callable[[], EmbeddingTower], pictures: PictureSource, batch_size: int
    ) -> None:
        self.tower, self.pictures, self.batch_size = load(), pictures, batch_size

    def __call__(self, start: int, stop: int) -> Table:
        """A row a picture: its number, its embedding, and the reason when it has none."""
        rows: dict[int, np.ndarray] = {}
        reasons = [""] * (stop - start)
        for batch in embed_numbered(
            self.tower, self.pictures, range(start, stop), batch_size=self.batch_size
        ):
            rows.update(zip(batch.indices.tolist(), batch.embeddings, strict=True))
            for index, error in batch.failures:
                reasons[index] = str(error)
        width = len(next(iter(rows.values()))) if rows else 0
        embeddings = np.zeros((stop - start, width), dtype=np.float32)
        for index, row in rows.items():
            embeddings[index] = row
        return {
            "number": np.arange(start, stop),
            "embedding": embeddings,
            "reason": np.array(reasons, dtype=object),
        }


def _batch(table: Table, first: int) -> EmbeddedBatch:
    has_row = table["reason"] == ""
    indices = table["number"] - first
    failures = [
        (int(index), ImageError(str(reason)))
        for index, reason in zip(indices[~has_row], table["reason"][~has_row], strict=True)
    ]
    embeddings = np.array(table["embedding"][has_row], dtype=np.float32)
    return EmbeddedBatch(indices[has_row], embeddings, failures, stop=int(indices[-1]) + 1)
