"""Labels as parquet, one file a shard: written beside the pictures, and checked against them.

A row is a picture, in the order of the shard:

    key            string          the sample's key, or the picture's name
    shard          string          the tar file's name; empty for a folder or list
    labels         list<int32>     the nearest prototypes, best first; empty without features
    similarities   list<float32>   their cosines
    bytes, crc32   int64, uint32   of the picture's file; null when it cannot be read

The files say in their metadata which prototypes and settings they come from.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcd.core.files import atomic_path
from mlcd.core.images import ImageError
from mlcd.core.optional import require
from mlcd.core.ordered import ordered_map
from mlcd.core.pictures import PictureSource
from mlcd.core.shards import Shards
from mlcd.training.clusters.assign import NO_LABEL, AssignSettings, assign_block, on_device
from mlcd.training.clusters.blocks import BLOCK
from mlcd.training.clusters.features import FeatureSet
from mlcd.training.clusters.prototypes import prototypes_sha256

_ENDING = ".labels.parquet"
_COLUMNS = ("key", "shard", "labels", "similarities", "bytes", "crc32")


@dataclass(frozen=True, slots=True)
class Part:
    """The pictures from `start` to before `stop`, whose labels are one file."""

    name: str
    """Of the tar file; empty for a folder or list."""
    file: Path
    start: int
    stop: int


def label_parts(pictures: PictureSource, folder: Path | None) -> list[Part]:
    """The label files of a source: in `folder`, or beside the shards when it is None.

    ValueError for a folder or list of pictures without `folder`.
    """
    if isinstance(pictures, Shards):
        starts = pictures.starts.tolist()
        return [
            Part(path.name, (folder or path.parent) / f"{path.stem}{_ENDING}", start, stop)
            for path, start, stop in zip(pictures.paths, starts, starts[1:], strict=False)
        ]
    if folder is None:
        raise ValueError("expected a folder for the labels of pictures that are in no shards")
    return [Part("", folder / f"pictures{_ENDING}", 0, len(pictures))]


def write_labels(
    pictures: PictureSource,
    features: FeatureSet,
    prototypes: NDArray[np.float32],
    settings: AssignSettings,
    folder: Path | None = None,
    *,
    on_pictures: Callable[[int, int], None] | None = None,
    write: Callable[..., None] | None = None,
) -> list[Path]:
    """Write the labels of all pictures; files that a run before this one finished stay.

    `write` writes the parts that are missing, in place of this process (`write_parts`).
    ValueError when there are labels of other prototypes or settings: nothing is overwritten.
    """
    made = {
        "prototypes_sha256": prototypes_sha256(prototypes),
        "features": features.stamp,
        **asdict(settings),
    }
    parts = label_parts(pictures, folder)
    missing = []
    for part in parts:
        if part.file.exists():
            _check_made(part.file, made)
        else:
            missing.append(part)
    if missing:
        write = write or write_parts
        write(missing, pictures, features, prototypes, settings, made, on_pictures)
    return [part.file for part in parts]


def write_parts(
    parts: Sequence[Part],
    pictures: PictureSource,
    features: FeatureSet,
    prototypes: NDArray[np.float32],
    settings: AssignSettings,
    made: Mapping[str, Any],
    on_pictures: Callable[[int, int], None] | None,
) -> None:
    """Write one file after the other."""
    for part in parts:
        write_part(part, pictures, features, prototypes, settings, made, on_pictures)


def write_part(
    part: Part,
    pictures: PictureSource,
    features: FeatureSet,
    prototypes: NDArray[np.float32],
    settings: AssignSettings,
    made: Mapping[str, Any],
    on_pictures: Callable[[int, int], None] | None = None,
) -> None:
    """Write one file, atomically and a block of pictures at a time."""
    arrow, parquet = require("pyarrow", extra="train"), require("pyarrow.parquet", extra="train")
    rows, placed, schema = features.open(), on_device(prototypes), _schema(made)
    with atomic_path(part.file) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        for start in range(part.start, part.stop, BLOCK):
            stop = min(start + BLOCK, part.stop)
            first, last = features.rows_of(start, stop)
            labels = np.full((stop - start, settings.num_labels), NO_LABEL, dtype=np.int32)
            similarities = np.zeros(labels.shape, dtype=np.float32)
            if last > first:
                has_row = features.pictures_of(start, stop) - start
                found = assign_block(rows[first:last], placed, settings)
                labels[has_row], similarities[has_row] = found
            is_label = labels != NO_LABEL
            offsets = np.concatenate([[0], is_label.sum(axis=1).cumsum()]).astype(np.int32)
            keys, files = _columns(pictures, start, stop)
            columns = [
                arrow.array(keys),
                arrow.array([part.name] * len(keys)),
                arrow.ListArray.from_arrays(offsets, labels[is_label]),
                arrow.ListArray.from_arrays(offsets, similarities[is_label]),
                arrow.array([file and file[0] for file in files], arrow.int64()),
                arrow.array([file and file[1] for file in files], arrow.uint32()),
            ]
            writer.write_table(arrow.Table.from_arrays(columns, schema=schema))
            if on_pictures is not None:
                on_pictures(stop, len(pictures))


def key_of(pictures: PictureSource, number: int) -> str:
    """What the column `key` holds; bytes of a name that are no UTF-8 are escaped."""
    key = pictures.key(number) if isinstance(pictures, Shards) else pictures.name(number)
    return os.fsencode(key).decode(errors="backslashreplace")


def picture_bytes(pictures: PictureSource, number: int) -> bytes | None:
    """The picture's file; None when it cannot be read."""
    try:
        source = pictures.read(number)
        return source if isinstance(source, bytes) else Path(str(source)).read_bytes()
    except (ImageError, OSError):
        return None


def made_of(file: Path, schema: Any) -> dict[str, Any]:
    """What the labels in a file come from. ValueError when it holds no labels."""
    text = (schema.metadata or {}).get(b"mlcd")
    if text is None or schema.names != list(_COLUMNS):
        raise ValueError(f"{file}: expected labels with the columns {', '.join(_COLUMNS)}")
    made: dict[str, Any] = json.loads(text)
    return made


def _columns(pictures: PictureSource, start: int, stop: int) -> tuple[list[str], list[Any]]:
    """Keys, and size and checksum of the files, of the pictures from `start` to before `stop`."""

    def checksum(number: int) -> tuple[int, int] | None:
        data = picture_bytes(pictures, number)
        return None if data is None else (len(data), zlib.crc32(data))

    keys = [key_of(pictures, number) for number in range(start, stop)]
    return keys, list(ordered_map(checksum, range(start, stop), ahead=64))


def _check_made(file: Path, made: Mapping[str, Any]) -> None:
    parquet = require("pyarrow.parquet", extra="train")
    then = made_of(file, parquet.read_schema(file))
    if said := [
        f"{name} was {then.get(name)!r} and is {value!r}"
        for name, value in json.loads(json.dumps(made)).items()
        if then.get(name) != value
    ]:
        raise ValueError(
            f"{file} holds labels that were made otherwise: {'; '.join(said)}; choose another "
            "folder for labels, or delete these"
        )


def _schema(made: Mapping[str, Any]) -> Any:
    arrow = require("pyarrow", extra="train")
    kinds = (
        arrow.string(),
        arrow.string(),
        arrow.list_(arrow.int32()),
        arrow.list_(arrow.float32()),
        arrow.int64(),
        arrow.uint32(),
    )
    fields = list(zip(_COLUMNS, kinds, strict=True))
    return arrow.schema(fields, metadata={"mlcd": json.dumps(made)})
