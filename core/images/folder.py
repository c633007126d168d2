"""The pictures of a folder: which there are, and reading many of them at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlcd.core.images.reading import MAX_PIXELS, Image, ImageError, ImageSource, read_image
from mlcd.core.ordered import ordered_map

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}
)
"""File name endings, in lower case, that `list_images` takes for pictures."""


def list_images(folder: str | Path) -> list[Path]:
    """All pictures under `folder`, by suffix, in the order of their paths below it.

    Hidden files and folders (their names begin with a dot) are left out, and links to folders are
    not followed. ValueError when the folder is missing or holds no picture.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder of pictures, it is not a folder")
    found: list[tuple[tuple[str, ...], Path]] = []

    def fail(error: OSError) -> None:
        raise ValueError(f"{error.filename}: cannot be listed: {error.strerror}") from error

    for root, folders, files in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                path = Path(root, name)
                found.append((path.relative_to(folder).parts, path))
    if not found:
        raise ValueError(
            f"{folder}: no pictures in it; looked for names ending in {', '.join(sorted(SUFFIXES))}"
        )
    return [path for _, path in sorted(found)]


def read_images(
    sources: Iterable[ImageSource],
    *,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[tuple[ImageSource, Image | ImageError]]:
    """Each source with its picture, RGB uint8 (H, W, 3), or with the reason why it has none.

    In the order given. `workers` threads (default: one a core) decode at the same time and run
    only a few pictures ahead of the reader, so memory stays bounded. A picture that cannot be
    read never stops the others: the caller decides what its `ImageError` means.
    """

    def read(source: ImageSource) -> tuple[ImageSource, Image | ImageError]:
        try:
            return source, read_image(source, max_pixels=max_pixels)
        except ImageError as error:
            return source, error

    return ordered_map(read, sources, workers=workers)
