"""The metadata file of a gallery on the disk: made, opened in transactions, kept to one writer.

It is the only place that says what the gallery holds. Every other file of a gallery is written
first and counts from the moment a transaction here names it, so that moment is the whole change:
a kill before it leaves the old gallery, after it the new.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mlcd.apps.retrieval.errors import GalleryError
from mlcd.apps.retrieval.metadata import State, Transaction, create_tables
from mlcd.apps.retrieval.vectors import sync_folder
from mlcd.core.files import atomic_path

FORMAT = 1
METADATA, LOCK = "metadata.sqlite", "lock"
_BUSY_S = 60.0  # a search or an update holds the file for a fraction of this


class Store:
    """The metadata file of one gallery folder. Holds nothing open between transactions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / METADATA

    def create(self, state: State) -> None:
        """Write the metadata of an empty gallery, atomically.

        GalleryError when the folder holds one already, or anything else.
        """
        if self.path.exists():
            raise GalleryError(
                f"{self.folder} is a gallery already; add to it with `mlcd retrieval add`, "
                f"or choose another folder"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        if strangers := [p for p in self.folder.iterdir() if not p.name.endswith(".part")]:
            raise GalleryError(
                f"{self.folder} is not empty (it holds {strangers[0].name}); choose another folder "
                f"for the gallery"
            )
        with contextlib.closing(sqlite3.connect(":memory:")) as connection:
            create_tables(connection, state)
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            content = connection.serialize()
        with atomic_path(self.path) as part:
            part.write_bytes(content)
        sync_folder(self.folder)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A view of the gallery that no writer changes while the block runs."""
        with self._transaction("BEGIN") as transaction:
            yield transaction

    @contextlib.contextmanager
    def writing(self) -> Iterator[Transaction]:
        """Changes that become true together when the block ends well, and never otherwise."""
        with self._transaction("BEGIN IMMEDIATE") as transaction:
            yield transaction

    @contextlib.contextmanager
    def writer(self) -> Iterator[None]:
        """The right to change the gallery, for several transactions; a kill gives it back."""
        self.check_present()
        with (self.folder / LOCK).open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise
                raise GalleryError(
                    f"{self.folder} is being changed by another process; try again when it is done"
                ) from None
            yield

    def check_present(self) -> None:
        """GalleryError when there is no gallery here, in words that say what is."""
        if self.path.is_file():
            return
        if not self.folder.is_dir():
            raise GalleryError(
                f"{self.folder}: no such gallery; make one with "
                f"`mlcd retrieval index PICTURES -o {self.folder}`"
            )
        if any(self.folder.glob("vectors-*.f32")):
            raise GalleryError(
                f"{self.path} is missing, and with it the names of all pictures: the gallery was "
                f"copied or deleted in part; copy it again, or index the pictures into a new one"
            )
        raise GalleryError(f"{self.folder} is not a gallery: it holds no {METADATA}")

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[Transaction]:
        self.check_present()
        try:
            # mode=rw: SQLite would otherwise make an empty file where one is missing
            connection = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode=rw",
                uri=True,
                timeout=_BUSY_S,
                isolation_level=None,
            )
            with contextlib.closing(connection):
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version != FORMAT:
                    raise GalleryError(_wrong_format(self.folder, version))
                connection.execute("PRAGMA synchronous = FULL")
                # Else a large change would shut readers out before it commits.
                connection.execute("PRAGMA cache_spill = OFF")
                connection.execute(begin)
                yield Transaction(connection)
                connection.execute("COMMIT")  # closing without it rolls back
        except sqlite3.Error as error:
            raise _explained(self.path, error) from error


def _wrong_format(folder: Path, version: int) -> str:
    if version > FORMAT:
        return (
            f"{folder} has gallery format {version}, this program reads {FORMAT}: "
            f"it was written by a newer version of mlcd; upgrade mlcd to open it"
        )
    return (
        f"{folder / METADATA} is no gallery's metadata (format {version}): the gallery is half "
        f"written; copy it again, or index the pictures into a new gallery"
    )


def _explained(path: Path, error: sqlite3.Error) -> Exception:
    """What went wrong with the file, as the exception that says it best."""
    code = getattr(error, "sqlite_errorcode", None)
    match None if code is None else code & 0xFF:  # the high bits refine the kind
        case sqlite3.SQLITE_FULL:
            return OSError(errno.ENOSPC, "no space left; the gallery is as it was", str(path))
        case sqlite3.SQLITE_IOERR:
            return OSError(errno.EIO, f"{error}; the gallery is as it was", str(path))
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN:
            return OSError(errno.EACCES, f"cannot be opened for writing ({error})", str(path))
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return GalleryError(f"{path} is in use by another process; try again in a moment")
        case _:
            return GalleryError(
                f"{path} is damaged ({error}): copy the gallery again, or index the pictures "
                f"into a new one"
            )
