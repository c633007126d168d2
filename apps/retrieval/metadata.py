"""What a gallery knows of itself and its pictures: the tables, and a transaction's view of them.

`pictures` are found by a search. `staged` ones are embedded and safe on the disk but part of an
`add` that has not ended: the same add, asked for again, takes them over.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from hashlib import blake2b
from pathlib import Path

from mlcd.apps.retrieval.vectors import Vectors

_AT_ONCE = 500  # values in one IN (...); SQLite takes at least 999
_PICTURE = """(
    row INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, sha256 BLOB NOT NULL, checksum BLOB NOT NULL)"""
_INSERT = "INTO {} VALUES (?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What a gallery is as a whole. `rows` of `vectors_file` count: live, staged and dead ones.

    `generation` grows with every change that a search can see. `tower_config` is JSON.
    """

    tower: str
    weights_sha256: str
    tower_config: str
    dim: int
    index_kind: str
    index_file: str | None = None
    index_recall: float | None = None
    generation: int = 0
    vectors_file: str = "vectors-0.f32"
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture: its row among the vectors, its file as it was, a checksum over all of it."""

    row: int
    path: Path
    size: int
    mtime_ns: int
    sha256: bytes
    checksum: bytes

    def fits(self, vector: Vectors) -> bool:
        """Whether this is the vector (dim,) that the entry was written with."""
        return row_checksum(self.row, self.path, self.sha256, vector) == self.checksum


def row_checksum(row: int, path: Path, sha256: bytes, vector: Vectors) -> bytes:
    """Eight bytes that tie a vector (dim,) to its row, its path and the content of its file."""
    name = os.fsencode(path)
    digest = blake2b(b"%d %d " % (row, len(name)), digest_size=8)
    digest.update(name)
    digest.update(sha256)
    digest.update(vector.tobytes())
    return digest.digest()


class Transaction:
    """Reading and changing the metadata inside one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def state(self) -> State:
        """The gallery as a whole."""
        names = ", ".join(field.name for field in fields(State))
        rows = self._connection.execute(f"SELECT {names} FROM gallery").fetchall()
        if len(rows) != 1:
            raise sqlite3.DatabaseError(f"expected one gallery, found {len(rows)}")
        return State(**dict(zip(names.split(", "), rows[0], strict=True)))

    def set_state(self, state: State) -> None:
        """Replace what is known of the gallery as a whole."""
        changes = ", ".join(f"{field.name} = ?" for field in fields(State))
        self._connection.execute(f"UPDATE gallery SET {changes}", astuple(state))

    def count(self) -> int:
        """Pictures that a search can find."""
        return int(self._connection.execute("SELECT COUNT(*) FROM pictures").fetchone()[0])

    def count_staged(self) -> int:
        """Pictures that an interrupted add has left ready."""
        return int(self._connection.execute("SELECT COUNT(*) FROM staged").fetchone()[0])

    def last_row(self) -> int:
        """The highest row of a picture that a search can find; -1 when there is none."""
        (row,) = self._connection.execute("SELECT MAX(row) FROM pictures").fetchone()
        return -1 if row is None else int(row)

    def rows(self) -> Iterator[int]:
        """Rows of all pictures that a search can find, ascending."""
        return (row for (row,) in self._connection.execute("SELECT row FROM pictures ORDER BY row"))

    def entries(self) -> Iterator[Entry]:
        """All pictures that a search can find, by row."""
        return map(_entry, self._connection.execute("SELECT * FROM pictures ORDER BY row"))

    def staged(self) -> Iterator[Entry]:
        """All staged pictures, by row."""
        return map(_entry, self._connection.execute("SELECT * FROM staged ORDER BY row"))

    def entries_at(self, rows: Sequence[int]) -> dict[int, Entry]:
        """The pictures of these rows; rows that no search can find are left out."""
        found: dict[int, Entry] = {}
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            query = f"SELECT * FROM pictures WHERE row IN ({', '.join('?' * len(part))})"
            entries = map(_entry, self._connection.execute(query, part))
            found.update((entry.row, entry) for entry in entries)
        return found

    def known(self, path: Path) -> tuple[Entry | None, Entry | None]:
        """What the pictures and what the staged ones know of this path."""
        name = (os.fsencode(path),)
        return self._one("SELECT * FROM pictures WHERE path = ?", name), self._one(
            "SELECT * FROM staged WHERE path = ?", name
        )

    def with_content(self, sha256: bytes) -> Entry | None:
        """Some picture, found or staged, whose file has this content."""
        return self._one("SELECT * FROM pictures WHERE sha256 = ? LIMIT 1", (sha256,)) or self._one(
            "SELECT * FROM staged WHERE sha256 = ? LIMIT 1", (sha256,)
        )

    def touch(self, path: Path, *, size: int, mtime_ns: int, sha256: bytes) -> None:
        """Note the new time of a file where its content is still the same."""
        for table in ("pictures", "staged"):
            self._connection.execute(
                f"UPDATE {table} SET size = ?, mtime_ns = ? WHERE path = ? AND sha256 = ?",
                (size, mtime_ns, os.fsencode(path), sha256),
            )

    def stage(self, entries: Iterable[Entry]) -> None:
        """Keep pictures for the end of the add, in place of what was staged for the same paths."""
        self._connection.executemany(
            "INSERT OR REPLACE " + _INSERT.format("staged"), map(_values, entries)
        )

    def publish(self, paths: Iterable[Path]) -> tuple[int, int]:
        """Let searches find the staged pictures of these paths, in place of what was there.

        How many paths are new, and how many have got a new content.
        """
        execute = self._connection.execute
        execute("CREATE TEMP TABLE IF NOT EXISTS asked (path BLOB PRIMARY KEY)")
        execute("DELETE FROM asked")  # of what this transaction published before
        self._connection.executemany(
            "INSERT OR IGNORE INTO asked VALUES (?)", ((os.fsencode(path),) for path in paths)
        )
        execute("DELETE FROM asked WHERE path NOT IN (SELECT path FROM staged)")
        (count,) = execute("SELECT COUNT(*) FROM asked").fetchone()
        changed = execute("DELETE FROM pictures WHERE path IN (SELECT path FROM asked)").rowcount
        execute("INSERT INTO pictures SELECT * FROM staged WHERE path IN (SELECT path FROM asked)")
        execute("DELETE FROM staged WHERE path IN (SELECT path FROM asked)")
        return count - changed, changed

    def unstage(self, path: Path) -> None:
        """Drop what was staged for this path."""
        self._connection.execute("DELETE FROM staged WHERE path = ?", (os.fsencode(path),))

    def at_or_under(self, path: Path) -> list[Path]:
        """The paths of pictures that a search can find: this file, or those in this folder."""
        name = os.fsencode(path)
        inside = name.rstrip(b"/") + b"/"
        query = "SELECT path FROM pictures WHERE path = ? OR (path >= ? AND path < ?) ORDER BY path"
        found = self._connection.execute(
            query, (name, inside, inside[:-1] + b"0")
        )  # "0" follows "/"
        return [Path(os.fsdecode(value)) for (value,) in found]

    def remove(self, paths: Iterable[Path]) -> None:
        """Forget these paths, found or staged."""
        names = [(os.fsencode(path),) for path in paths]
        self._connection.executemany("DELETE FROM pictures WHERE path = ?", names)
        self._connection.executemany("DELETE FROM staged WHERE path = ?", names)

    def replace_all(self, entries: Iterable[Entry]) -> None:
        """Let the pictures be exactly these, and nothing be staged."""
        self._connection.execute("DELETE FROM pictures")
        self._connection.execute("DELETE FROM staged")
        self._connection.executemany("INSERT " + _INSERT.format("pictures"), map(_values, entries))

    def damage(self) -> list[str]:
        """What SQLite finds wrong with its own file, and rows that two pictures claim."""
        found = [
            text for (text,) in self._connection.execute("PRAGMA integrity_check") if text != "ok"
        ]
        shared = self._connection.execute(
            "SELECT COUNT(*) FROM pictures JOIN staged USING (row)"
        ).fetchone()[0]
        return found + ([f"{shared} rows belong to two pictures"] if shared else [])

    def _one(self, query: str, values: tuple[bytes, ...]) -> Entry | None:
        row = self._connection.execute(query, values).fetchone()
        return None if row is None else _entry(row)


def create_tables(connection: sqlite3.Connection, state: State) -> None:
    """The tables of an empty gallery."""
    connection.executescript(
        f"CREATE TABLE gallery ({', '.join(field.name for field in fields(State))});"
        f"CREATE TABLE pictures {_PICTURE};"
        f"CREATE TABLE staged {_PICTURE};"
        f"CREATE INDEX pictures_by_content ON pictures (sha256);"
        f"CREATE INDEX staged_by_content ON staged (sha256);"
    )
    marks = ", ".join("?" * len(fields(State)))
    connection.execute(f"INSERT INTO gallery VALUES ({marks})", astuple(state))
    connection.commit()


def _entry(values: tuple[int, bytes, int, int, bytes, bytes]) -> Entry:
    row, name, size, mtime_ns, sha256, checksum = values
    return Entry(row, Path(os.fsdecode(name)), size, mtime_ns, sha256, checksum)


def _values(entry: Entry) -> tuple[int, bytes, int, int, bytes, bytes]:
    # The path as bytes: a file name need not be valid text.
    name = os.fsencode(entry.path)
    return entry.row, name, entry.size, entry.mtime_ns, entry.sha256, entry.checksum
