"""Features to cluster: rows of an .npy file on disk, one for each picture that could be read.

They are a frozen tower's embeddings of the pictures, as they are or as the mean with a text
embedding that the shards carry (what UNICOM's authors are asked about in their issue 84: joint
text and image features), or a file that the user brings along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mlcd.core.embedding import EmbeddedBatch, EmbeddingTower, embed_pictures
from mlcd.core.files import atomic_path
from mlcd.core.pictures import PictureSource
from mlcd.core.shards import Shards
from mlcd.training.clusters.blocks import BLOCK, Features, ranges


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureSettings:
    """What features are made of, beside the tower."""

    text_field: str | None = None
    """A field of KEY.json with a text embedding, or `npy` for the member KEY.npy: each row becomes
    the mean of picture and text, both L2-normalised before and the row after."""
    number_type: Literal["float32", "float16"] = "float32"
    """float16 halves the file; similarities change in the fourth digit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureSet:
    """Features on disk, and which picture each row belongs to."""

    file: Path
    num_pictures: int
    failed: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Numbers of the pictures that have no row, ascending."""
    stamp: dict[str, Any] = field(default_factory=dict)
    """What the rows were made of."""

    def open(self) -> Features:
        """The rows, memory-mapped: (n, D)."""
        return open_features(self.file)

    def rows_of(self, start: int, stop: int) -> tuple[int, int]:
        """Which rows belong to the pictures from `start` to before `stop`: first and stop."""
        before = np.searchsorted(self.failed, [start, stop])
        return start - int(before[0]), stop - int(before[1])

    def pictures_of(self, start: int, stop: int) -> NDArray[np.int64]:
        """Numbers of the pictures from `start` to before `stop` that have a row, ascending."""
        return np.setdiff1d(np.arange(start, stop), self.failed, assume_unique=True)

    def picture_of(self, row: int) -> int:
        """The number of the picture that a row belongs to."""
        number = row
        while (shifted := row + int(np.searchsorted(self.failed, number, side="right"))) != number:
            number = shifted
        return number


def tower_features(
    tower: EmbeddingTower,
    pictures: PictureSource,
    output: Path,
    settings: FeatureSettings = FeatureSettings(),
    *,
    batch_size: int = 32,
    workers: int | None = None,
    on_pictures: Callable[[int, int], None] | None = None,
    batches: Callable[[range], Iterator[EmbeddedBatch]] | None = None,
) -> FeatureSet:
    """The tower's embeddings of all pictures in `output`, taken up where an earlier run stopped.

    With a text field (or float16) a second pass writes other rows beside them.
    `on_pictures(done, total)` is told of each pass; `batches` as `embed_pictures`. ValueError as
    there, and when a text embedding is asked for that the pictures do not carry, or that is not as
    wide as theirs.
    """
    if settings.text_field is not None and not isinstance(pictures, Shards):
        raise ValueError("only shards carry text embeddings; leave the text field out")
    embedded = embed_pictures(
        tower,
        pictures,
        output,
        batch_size=batch_size,
        workers=workers,
        on_pictures=on_pictures,
        batches=batches,
    )
    made = {
        "weights_sha256": tower.weights_sha256(),
        "pictures_sha256": pictures.digest(),
        "text_field": settings.text_field,
        "number_type": settings.number_type,
    }
    features = FeatureSet(
        file=output / "embeddings.npy",
        num_pictures=len(pictures),
        failed=np.array(embedded.failed, dtype=np.int64),
        stamp=made,
    )
    if settings == FeatureSettings():
        return features
    name = f"features-{settings.text_field or 'picture'}-{settings.number_type}.npy"
    changed = FeatureSet(
        file=output / name,
        num_pictures=len(pictures),
        failed=features.failed,
        stamp=made,
    )
    if not changed.file.exists():
        _write_changed(features, changed.file, pictures, settings, on_pictures)
    return changed


def given_features(file: Path, pictures: PictureSource) -> FeatureSet:
    """Features that the user brings along, a row a picture. ValueError when they do not fit."""
    rows = len(open_features(file))
    if rows != len(pictures):
        raise ValueError(
            f"{file}: expected a row for each of the {len(pictures):,} pictures, got {rows:,}"
        )
    state = file.stat()
    return FeatureSet(
        file=file,
        num_pictures=rows,
        stamp={"file_size": state.st_size, "file_mtime_ns": state.st_mtime_ns},
    )


def open_features(features: str | Path | Features) -> Features:
    """An .npy file memory-mapped, or the array itself: (n, D) float32 or float16.

    ValueError when it is something else. Object arrays (pickles) are never read.
    """
    rows: Any = features
    where = "the array given"
    if isinstance(features, (str, Path)):
        where = str(features)
        rows = np.load(features, mmap_mode="r", allow_pickle=False)
    is_matrix = isinstance(rows, np.ndarray) and rows.ndim == 2 and rows.size > 0
    if not is_matrix or rows.dtype not in (np.float32, np.float16):
        raise ValueError(
            f"{where}: expected features (n, D) of float32 or float16, "
            f"got {getattr(rows, 'dtype', '')} {getattr(rows, 'shape', type(rows))}"
        )
    opened: Features = rows
    return opened


def _write_changed(
    features: FeatureSet,
    file: Path,
    pictures: PictureSource,
    settings: FeatureSettings,
    on_pictures: Callable[[int, int], None] | None,
) -> None:
    rows = features.open()
    with atomic_path(file) as part:
        written = np.lib.format.open_memmap(
            part, mode="w+", dtype=np.dtype(settings.number_type), shape=rows.shape
        )
        done = 0
        for start, stop in ranges(features.num_pictures, BLOCK):
            numbers = features.pictures_of(start, stop)
            block = np.array(rows[done : done + len(numbers)], dtype=np.float32)
            if settings.text_field is not None:
                assert isinstance(pictures, Shards), "checked before"
                texts = _text_embeddings(pictures, numbers, settings.text_field, block.shape[1])
                for row, text in enumerate(texts):
                    mean = (block[row] + text) / 2
                    block[row] = mean / max(float(np.linalg.norm(mean)), 1e-12)
            written[done : done + len(numbers)] = block
            done += len(numbers)
            if on_pictures is not None:
                on_pictures(stop, features.num_pictures)
        written.flush()


def _text_embeddings(
    shards: Shards, numbers: NDArray[np.int64], text_field: str, width: int
) -> Iterator[NDArray[np.float32]]:
    """The L2-normalised text embedding (D,) of each picture."""
    for number in numbers.tolist():
        found = (
            shards.array(number) if text_field == "npy" else _from_json(shards, number, text_field)
        )
        if found is None:
            raise ValueError(
                f"{shards.name(number)}: carries no text embedding {text_field!r}; "
                "leave the text field out, or take shards in which every picture has one"
            )
        norm = float(np.linalg.norm(found))
        if found.shape != (width,) or not 0 < norm < np.inf:
            raise ValueError(
                f"{shards.name(number)}: expected a text embedding of {width} finite numbers, "
                f"as the tower gives, got shape {found.shape}, length {norm}"
            )
        yield found / norm


def _from_json(shards: Shards, number: int, text_field: str) -> NDArray[np.float32] | None:
    document = shards.json(number)
    values = document.get(text_field) if isinstance(document, dict) else None
    try:
        return None if values is None else np.array(values, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{shards.name(number)}: {text_field!r} is no list of numbers: {error}"
        ) from error
