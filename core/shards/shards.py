"""Image-text shards as one long list of samples, any of which is read at once.

Only pictures, text, JSON and plain arrays of numbers are ever looked at: pickles are passed over,
and addresses that would run a command (`pipe:`) are no paths here and so do not exist.
"""

from __future__ import annotations

import contextlib
import hashlib
import json as json_module
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcd.core.images import ImageError
from mlcd.core.ordered import ordered_map
from mlcd.core.shards.tar_index import TarIndex, TarState, map_index, write_index

MAX_BYTES = 1 << 28
"""A member above this (256 MiB) is refused: no picture or text is as large."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a shard holds under one key."""

    key: str
    image: bytes
    """The picture's file, not decoded; `read_image` takes it."""
    text: str | None
    json: Any
    """Of KEY.json, mostly a dictionary; None when there is none."""
    cls: str | None
    """Of KEY.cls: a class, as text."""


class Shards:
    """The samples with a picture of all shards of a folder, or of the tar files given.

    Shards are in the order of their names, samples as they stand in them. `problems` says in words
    what was passed over: members that are cut off, samples without a picture, and the like.
    `on_shard(done, total)` is told while indexes are built. ValueError when there is no shard, or
    one that is no tar file; OSError when an index can be written neither beside its shard nor in
    `index_folder` (default: `mlcd/shards` in the user's cache).
    """

    def __init__(
        self,
        source: str | Path | Sequence[Path],
        *,
        index_folder: str | Path | None = None,
        on_shard: Callable[[int, int], None] | None = None,
    ) -> None:
        self.paths = _tar_files(source)
        fallback = Path(index_folder) if index_folder is not None else _cache_folder()
        self._indexes: list[tuple[Path, TarState]] = []
        lengths: list[int] = []
        self.problems: list[str] = []
        places = ordered_map(lambda path: _indexed(path, fallback), self.paths)
        for done, (tar, place) in enumerate(zip(self.paths, places, strict=True), 1):
            self._indexes.append(place)
            index = map_index(*place)
            lengths.append(len(index.records))
            self.problems += [f"{tar.name}: {problem}" for problem in index.problems]
            if on_shard is not None:
                on_shard(done, len(self.paths))
        self.starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        """Number of the first sample of each shard, and of all samples: (shards + 1,)."""

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: int) -> Sample:
        """Sample `index`. ValueError naming it when its text or JSON cannot be decoded."""
        text, cls = self._text(index, "text"), self._text(index, "cls")
        return Sample(self.key(index), self.read(index), text, self.json(index), cls)

    def read(self, index: int) -> bytes:
        """The picture's file, not decoded. `ImageError` when it cannot be read."""
        try:
            data = self._member(index, "image")
        except (OSError, ValueError) as error:
            raise ImageError(f"{self.name(index)}: cannot be read: {error}") from error
        assert data is not None, "only samples with a picture are in the index"
        return data

    def name(self, index: int) -> str:
        """`SHARD/KEY`, for messages and lists."""
        return f"{self.paths[self._shard_of(index)].name}/{self.key(index)}"

    def key(self, index: int) -> str:
        """The sample's key in its shard."""
        table, row = self._row(index)
        return table.key(row)

    def image_size(self, index: int) -> int:
        """Bytes of the picture's file; read from the index alone."""
        table, row = self._row(index)
        return int(table.records["image_size"][row])

    def json(self, index: int) -> Any:
        """What KEY.json holds, None when there is none. ValueError when it is no JSON."""
        text = self._text(index, "json")
        try:
            return None if text is None else json_module.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{self.name(index)}: its JSON cannot be read: {error}") from error

    def array(self, index: int) -> NDArray[np.float32] | None:
        """What KEY.npy holds, as float32; None when there is none.

        ValueError when it is no plain array of floating point numbers; objects are not unpickled.
        """
        data = self._member(index, "npy")
        if data is None:
            return None
        try:
            array = np.load(BytesIO(data), allow_pickle=False)
            if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
                raise ValueError("expected an array of floating point numbers")
        except (ValueError, OSError, EOFError, SyntaxError) as error:
            raise ValueError(f"{self.name(index)}: its array cannot be read: {error}") from error
        return array.astype(np.float32)

    def digest(self) -> str:
        """Changes when a shard is added, taken away, renamed or written to."""
        digest = hashlib.sha256()
        for path in self.paths:
            state = path.stat()
            digest.update(f"{state.st_size} {state.st_mtime_ns} ".encode())
            digest.update(os.fsencode(path.name) + b"\0")
        return digest.hexdigest()

    def _shard_of(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self):,}")
        return int(np.searchsorted(self.starts, index, side="right")) - 1

    def _row(self, index: int) -> tuple[TarIndex, int]:
        shard = self._shard_of(index)
        return map_index(*self._indexes[shard]), index - int(self.starts[shard])

    def _member(self, index: int, field: str) -> bytes | None:
        """The bytes of one member of a sample."""
        table, row = self._row(index)
        start, size = (int(table.records[f"{field}_{what}"][row]) for what in ("start", "size"))
        if not size:
            return None
        if size > MAX_BYTES:
            raise ValueError(f"{size:,} bytes are more than the limit of {MAX_BYTES:,}")
        with self.paths[self._shard_of(index)].open("rb") as file:
            file.seek(start)
            data = file.read(size)
        if len(data) != size:
            raise ValueError(f"cut off: {len(data):,} bytes of {size:,}")
        return data

    def _text(self, index: int, field: str) -> str | None:
        data = self._member(index, field)
        try:
            return None if data is None else data.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.name(index)}: its {field} is no UTF-8: {error}") from error


def _tar_files(source: str | Path | Sequence[Path]) -> list[Path]:
    if not isinstance(source, (str, Path)):
        paths = [Path(path) for path in source]
    elif Path(source).is_dir():
        paths = sorted(path for path in Path(source).glob("*.tar") if not path.name.startswith("."))
    else:
        paths = [Path(source)]
    if not paths:
        raise ValueError(f"{source}: no shards in it; looked for names ending in .tar")
    for path in paths:
        if not path.is_file():
            raise ValueError(f"{path}: expected a tar file or a folder of them, there is none")
    return paths


def _indexed(tar: Path, fallback: Path) -> tuple[Path, TarState]:
    """The place of the shard's index, which is built when there is none that fits."""
    state = TarState.of(tar)
    name = hashlib.sha256(os.fsencode(tar.resolve())).hexdigest()[:16]
    places = (tar.with_name(f"{tar.name}.index"), fallback / f"{tar.stem}-{name}.index")
    for place in places:
        with contextlib.suppress(OSError, ValueError):  # whatever is wrong with it: build it anew
            map_index(place, state)
            return place, state
    for place in places:
        try:
            write_index(place, tar)
        except OSError as error:  # beside the shard: a folder that is not ours to write to
            reason = error.strerror or str(error)
            continue
        map_index(place, state)
        return place, state
    raise OSError(
        f"{tar}: its index can be written neither beside it nor in {fallback} ({reason}); "
        "name a folder that can be written to"
    )


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlcd" / "shards"
