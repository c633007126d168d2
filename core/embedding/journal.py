"""Embeddings that grow on disk batch by batch, and survive a kill at any moment.

Two files that are only appended to: `embeddings.npy`, whose header is written last, and
`journal.jsonl` with a line for each batch whose rows are completely in it. A row counts when the
line that vouches for it is whole and its checksum fits; everything after that is cut off when the
journal is opened again. So nothing needs to be copied together at the end, and memory holds
nothing.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_HEADER_BYTES = 128


@dataclass(frozen=True, slots=True)
class _Line:
    """What the journal says of one batch."""

    stop: int
    rows: int
    width: int
    checksum: int
    failures: list[tuple[int, str]]

    def to_json(self) -> str:
        fields = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(fields) + "\n"

    @classmethod
    def from_json(cls, text: str) -> _Line:
        fields = json.loads(text)
        failures = [(int(index), str(reason)) for index, reason in fields.pop("failures")]
        return cls(failures=failures, **fields)


class EmbeddingJournal:
    """Appends batches of embeddings in a folder; opened again, goes on after the last whole one."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.rows_file = folder / "embeddings.npy"
        self._lines_file = folder / "journal.jsonl"
        self.stop = 0
        """All sources before this one are done."""
        self.rows = 0
        self.width = 0
        self.failures: list[tuple[int, str]] = []
        """Sources without a row, with the reason."""
        self._rows_end, self._lines_end = _HEADER_BYTES, 0
        self._recover()

    def append(
        self,
        stop: int,
        embeddings: NDArray[np.float32],
        failures: list[tuple[int, str]],
    ) -> None:
        """Record the rows (b, E) and failures of the sources up to `stop`. OSError on a full disk.

        After an error nothing of the batch counts, and it may be appended once more.
        """
        rows = np.ascontiguousarray(embeddings, dtype="<f4")
        if len(rows) and self.rows and rows.shape[1] != self.width:
            raise ValueError(f"embeddings of width {rows.shape[1]} after others of {self.width}")
        data = rows.tobytes()
        line = _Line(stop, len(rows), rows.shape[1], zlib.crc32(data), failures)
        text = line.to_json().encode()
        _write_at(self.rows_file, self._rows_end, data)
        _write_at(self._lines_file, self._lines_end, text)
        self._count(line, len(data), len(text))

    def finish(self) -> None:
        """Make `rows_file` a whole .npy file, safely on disk."""
        _write_at(self.rows_file, 0, _npy_header(self.rows, self.width))
        with self.rows_file.open("rb") as file:
            os.fsync(file.fileno())

    def _count(self, line: _Line, data_bytes: int, text_bytes: int) -> None:
        self.stop = line.stop
        self.rows += line.rows
        self.width = line.width if line.rows else self.width
        self.failures += line.failures
        self._rows_end += data_bytes
        self._lines_end += text_bytes

    def _recover(self) -> None:
        """Count the batches whose line is whole and whose rows are there."""
        self._lines_file.touch()
        self.rows_file.touch()
        with self._lines_file.open("rb") as lines, self.rows_file.open("rb") as rows:
            rows.seek(_HEADER_BYTES)
            for text in lines:
                try:
                    line = _Line.from_json(text.decode())
                except (ValueError, TypeError, LookupError, AttributeError):  # not such a line
                    break
                data = rows.read(4 * line.rows * line.width)
                is_whole = text.endswith(b"\n") and len(data) == 4 * line.rows * line.width
                if not is_whole or zlib.crc32(data) != line.checksum:
                    break
                self._count(line, len(data), len(text))
        os.truncate(self._lines_file, self._lines_end)
        os.truncate(self.rows_file, self._rows_end)


def _write_at(path: Path, position: int, data: bytes) -> None:
    """Write all of `data`; what an earlier write left behind `position` is replaced or cut off."""
    with path.open("r+b", buffering=0) as file:
        if position:
            file.truncate(position)
        file.seek(position)
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]


def _npy_header(rows: int, width: int) -> bytes:
    """The header of a .npy file, format 1.0, of float32 (rows, width): always 128 bytes."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}"
    length = _HEADER_BYTES - 10
    header = b"\x93NUMPY\x01\x00" + struct.pack("<H", length) + text.ljust(length - 1).encode()
    return header + b"\n"
