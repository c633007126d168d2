"""Many pictures by number, wherever they stand: a folder, a list of paths, or tar shards.

Training, clustering and embedding take any of them. Shards hold nothing in memory; a folder and a
list hold their paths.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from mlcd.core.images import ImageSource, list_images
from mlcd.core.shards import Shards


class PictureSource(Protocol):
    """Pictures in an order that stays; `Shards` is one too."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def read(self, index: int) -> ImageSource:
        """Picture `index`, not decoded: what `read_image` takes. `ImageError` when it is gone."""
        ...

    def name(self, index: int) -> str:
        """What it is called in lists and messages; one name belongs to one picture."""
        ...

    def digest(self) -> str:
        """Changes when a picture is added, taken away, renamed or written to."""
        ...


class PathPictures:
    """Picture files, each under a name of its own."""

    def __init__(self, paths: Sequence[Path], names: Sequence[str]) -> None:
        if len(paths) != len(names):
            raise ValueError(f"expected a name a picture, got {len(names)} for {len(paths)}")
        self._paths, self._names = paths, names

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, index: int) -> Path:
        """The picture's path."""
        return self._paths[index]

    def name(self, index: int) -> str:
        """The picture's name, as given."""
        return self._names[index]

    def digest(self) -> str:
        """Of names, sizes and times of change."""
        digest = hashlib.sha256()
        for path, name in zip(self._paths, self._names, strict=True):
            with contextlib.suppress(OSError):  # a broken link fails later on, with its reason
                state = path.stat()
                digest.update(f"{state.st_size} {state.st_mtime_ns} ".encode())
            digest.update(os.fsencode(name) + b"\0")
        return digest.hexdigest()


def folder_pictures(folder: str | Path) -> PathPictures:
    """All pictures under a folder, named by their paths below it, with slashes."""
    paths = list_images(folder)
    return PathPictures(paths, [path.relative_to(folder).as_posix() for path in paths])


def listed_pictures(file: str | Path) -> PathPictures:
    """The pictures of a list: a path a line, below the list's own folder when it is not absolute.

    Empty lines are passed over. ValueError when there is none, or one comes twice.
    """
    file = Path(file)
    try:
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: expected a list of paths in UTF-8: {error}") from error
    if not lines:
        raise ValueError(f"{file}: expected a path a line, it is empty")
    if len(set(lines)) < len(lines):
        twice = next(line for number, line in enumerate(lines) if line in lines[:number])
        raise ValueError(f"{file}: {twice!r} comes twice; each picture is listed once")
    return PathPictures([file.parent / line for line in lines], lines)


def open_pictures(source: str | Path) -> PictureSource:
    """A folder of pictures, a folder of tar shards, one shard, or a list (.txt), by what it is.

    ValueError when it is none of them.
    """
    path = Path(source)
    if path.is_dir():
        has_shards = any(not tar.name.startswith(".") for tar in path.glob("*.tar"))
        return Shards(path) if has_shards else folder_pictures(path)
    if path.is_file() and path.suffix == ".tar":
        return Shards(path)
    if path.is_file() and path.suffix == ".txt":
        return listed_pictures(path)
    raise ValueError(
        f"{source}: expected a folder of pictures or of tar shards, a .tar or a .txt with a path "
        "a line; " + ("there is nothing of that name" if not path.exists() else "it is neither")
    )
