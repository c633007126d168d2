"""Sources to embeddings as a stream: decode, preprocess, tower. Memory holds a few batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from mlcd.core.images import ImageError, ImageSource, Preprocess
from mlcd.core.ordered import available_cores, ordered_map
from mlcd.core.pictures import PictureSource


class HasPreprocess(Protocol):
    """The part of a tower's config that is needed here."""

    @property
    def preprocess(self) -> Preprocess:
        """How its pictures become pixels."""


class EmbeddingTower(Protocol):
    """What is needed of a tower; `VisionTower` has it."""

    @property
    def config(self) -> HasPreprocess:
        """Its configuration."""

    def embed_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels (B, 3, H, W) to L2-normalised embeddings (B, E), float32 on the CPU."""

    def weights_sha256(self) -> str:
        """The digest that tells one tower's weights from another's."""


@dataclass(frozen=True, slots=True)
class EmbeddedBatch:
    """The embeddings of consecutive sources, without those that could not be read."""

    indices: NDArray[np.int64]
    """Which sources the rows belong to, ascending: (b,)."""
    embeddings: NDArray[np.float32]
    """L2-normalised: (b, E); (0, 0) when no source of this batch could be read."""
    failures: list[tuple[int, ImageError]]
    """The others, with the reason why they have no row."""
    stop: int
    """All sources before this one are done."""


def embed_images(
    tower: EmbeddingTower,
    sources: Iterable[ImageSource],
    *,
    batch_size: int = 32,
    workers: int | None = None,
) -> Iterator[EmbeddedBatch]:
    """The embeddings of all sources, in order, `batch_size` sources at a time.

    `workers` threads (default: one a core, and one more for a tower on the CPU) decode and
    preprocess. A tower on an accelerator computes while they prepare the next batch; a tower on
    the CPU and the threads take turns, each with all cores: side by side they would slow each
    other more than they gain. Large pictures are shrunk by torch (`Preprocess.__call__` says what
    that costs). A picture that cannot be read, or that the tower has no finite
    numbers for, is a failure of its batch and stops nothing.
    """
    return _embed(tower, enumerate(sources), lambda source: source, batch_size, workers)


def embed_numbered(
    tower: EmbeddingTower,
    pictures: PictureSource,
    numbers: range,
    *,
    batch_size: int = 32,
    workers: int | None = None,
) -> Iterator[EmbeddedBatch]:
    """As `embed_images`, of the pictures of these consecutive numbers; the threads read them too.

    `indices`, `failures` and `stop` count from the first of `numbers`.
    """
    return _embed(tower, enumerate(numbers), pictures.read, batch_size, workers)


def _embed(
    tower: EmbeddingTower,
    sources: Iterator[tuple[int, Any]],
    read: Callable[[Any], ImageSource],
    batch_size: int,
    workers: int | None,
) -> Iterator[EmbeddedBatch]:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    return _embedded(tower, sources, read, batch_size, workers)


def _embedded(
    tower: EmbeddingTower,
    sources: Iterator[tuple[int, Any]],
    read: Callable[[Any], ImageSource],
    batch_size: int,
    workers: int | None,
) -> Iterator[EmbeddedBatch]:
    preprocess = tower.config.preprocess
    batches: Iterator[_Prepared]
    if _computes_on_cpu(tower):
        batches = (
            _prepare(preprocess, batch, read, workers) for batch in _batched(sources, batch_size)
        )
    else:
        # Whole batches are prepared ahead, each by one thread: no thread waits for another.
        batches = ordered_map(
            lambda batch: _prepare(preprocess, batch, read, 1),
            _batched(sources, batch_size),
            workers=workers,
        )
    for batch in batches:
        yield _through_tower(tower, batch)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A batch before the tower."""

    sources: list[tuple[int, Any]]
    pixels: NDArray[np.float32]
    """(B, 3, S, S), with rows of no meaning where there is an error."""
    errors: list[ImageError | None]


def _prepare(
    preprocess: Preprocess,
    sources: list[tuple[int, Any]],
    read: Callable[[Any], ImageSource],
    workers: int | None,
) -> _Prepared:
    pixels = np.empty((len(sources), 3, preprocess.size, preprocess.size), dtype=np.float32)

    def fill(row: int) -> ImageError | None:
        try:
            preprocess(read(sources[row][1]), out=pixels[row], is_exact=False)
        except ImageError as error:
            return error
        return None

    rows = range(len(sources))
    if workers is None:  # one more than cores: one is often waiting for the interpreter
        workers = available_cores() + 1
    if workers == 1:
        errors = [fill(row) for row in rows]
    else:
        errors = list(ordered_map(fill, rows, workers=workers, ahead=len(sources)))
    return _Prepared(sources, pixels, errors)


def _through_tower(tower: EmbeddingTower, batch: _Prepared) -> EmbeddedBatch:
    indices = np.array([index for index, _ in batch.sources], dtype=np.int64)
    errors = list(batch.errors)
    is_readable = np.array([error is None for error in errors])
    embeddings = np.empty((0, 0), dtype=np.float32)
    if is_readable.any():
        pixels = batch.pixels if is_readable.all() else batch.pixels[is_readable]
        embeddings = tower.embed_pixels(torch.from_numpy(pixels)).numpy()
        is_finite = np.isfinite(embeddings).all(axis=1)
        for row in np.flatnonzero(is_readable)[~is_finite]:
            errors[row] = ImageError(
                f"{_name(batch.sources[row][1])}: the tower gives no finite numbers for it"
            )
        embeddings = embeddings[is_finite]
    has_row = np.array([error is None for error in errors])
    failures = [
        (index, error)
        for (index, _), error in zip(batch.sources, errors, strict=True)
        if error is not None
    ]
    return EmbeddedBatch(indices[has_row], embeddings, failures, stop=int(indices[-1]) + 1)


def _batched(sources: Iterator[tuple[int, Any]], size: int) -> Iterator[list[tuple[int, Any]]]:
    while batch := list(islice(sources, size)):
        yield batch


def _computes_on_cpu(tower: EmbeddingTower) -> bool:
    parameter = next(tower.parameters(), None) if isinstance(tower, torch.nn.Module) else None
    return parameter is None or parameter.device.type == "cpu"


def _name(source: Any) -> str:
    return str(source) if isinstance(source, (str, Path)) else "a picture"
