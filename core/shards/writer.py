"""Writes shards in webdataset's tar layout, each of them whole or not there."""

from __future__ import annotations

import contextlib
import io
import json as json_module
import tarfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mlcd.core.files import atomic_path
from mlcd.core.shards.tar_index import SUFFIXES


class ShardWriter:
    """Samples into `folder`/00000.tar, 00001.tar, ..., the same bytes for the same samples.

    To be used in a `with` block: a shard appears when it is full or the block ends well; the one
    in hand when it does not is taken back. FileExistsError when the folder has shards already.
    """

    def __init__(self, folder: str | Path, pictures_per_shard: int = 10_000) -> None:
        if pictures_per_shard < 1:
            raise ValueError(f"pictures_per_shard must be at least 1, got {pictures_per_shard}")
        self.folder = Path(folder)
        if any(self.folder.glob("*.tar")):
            raise FileExistsError(f"{self.folder} has shards already; choose another folder")
        self.pictures_per_shard = pictures_per_shard
        self.num_samples = 0
        self._shard = contextlib.ExitStack()
        self._tar: tarfile.TarFile | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._shard.__exit__(kind, error, traceback)
        self._tar = None

    def write(
        self,
        image: bytes,
        *,
        suffix: str = "jpg",
        text: str | None = None,
        json: Any = None,
        cls: int | str | None = None,
    ) -> str:
        """Append a sample and give its key: nine digits, its number in the whole set.

        `image` is a picture's file as it is, with its `suffix` (jpg, jpeg, png or webp).
        """
        if suffix not in SUFFIXES:
            raise ValueError(f"expected a suffix out of {', '.join(SUFFIXES)}, got {suffix!r}")
        if not image:
            raise ValueError("expected the bytes of a picture, got none")
        number, place = divmod(self.num_samples, self.pictures_per_shard)
        if place == 0 or self._tar is None:
            self._shard.close()
            path = self._shard.enter_context(atomic_path(self.folder / f"{number:05d}.tar"))
            tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - on the stack
            self._tar = self._shard.enter_context(tar)
        key = f"{self.num_samples:09d}"
        members = {suffix: image}
        if text is not None:
            members["txt"] = text.encode()
        if json is not None:
            members["json"] = json_module.dumps(json).encode()
        if cls is not None:
            members["cls"] = str(cls).encode()
        for ending, data in members.items():
            member = tarfile.TarInfo(f"{key}.{ending}")
            member.size = len(data)
            self._tar.addfile(member, io.BytesIO(data))
        self.num_samples += 1
        return key
