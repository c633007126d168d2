"""tfrecord files without TensorFlow: records one behind the other, each with two checksums.

A record is its length (8 bytes), the length's checksum (4), its bytes and their checksum (4), all
little-endian. What is in a record is `sequence_example.py`'s.
Source: TensorFlow's guide, "TFRecord and tf.train.Example", section "TFRecords format details".
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from mlcd.core.crc32c import masked_crc32c
from mlcd.core.files import atomic_path

_LARGEST = 1 << 31
"""Bytes of a record above which a length is taken for damage."""


def read_records(path: str | Path) -> Iterator[bytes]:
    """The records of a file in order, one at a time in memory.

    ValueError, naming the file and the byte at which the record begins: cut short, or a checksum
    that does not fit (a damaged file, one that is compressed, or no tfrecord at all).
    """
    path = Path(path)
    with path.open("rb") as file:
        offset = 0
        while head := file.read(12):
            where = f"{path}: the record at byte {offset:,}"
            _whole(head, 12, where)
            length = struct.unpack("<Q", head[:8])[0]
            _check(head[:8], head[8:], f"{where}: its length")
            if length > _LARGEST:
                raise ValueError(f"{where}: a length of {length:,} bytes; the file is damaged")
            data = _read(file, length, where)
            _check(data, _read(file, 4, where), where)
            yield data
            offset += 16 + length


def write_records(path: str | Path, records: Iterable[bytes]) -> int:
    """Write a file of records, atomically; how many."""
    count = 0
    with atomic_path(path) as part, part.open("wb") as file:
        for record in records:
            length = struct.pack("<Q", len(record))
            file.write(length + _checksum(length) + record + _checksum(record))
            count += 1
    return count


def _read(file: BinaryIO, length: int, where: str) -> bytes:
    return _whole(file.read(length), length, where)


def _whole(data: bytes, length: int, where: str) -> bytes:
    if len(data) < length:
        raise ValueError(
            f"{where} is cut short: expected {length:,} more bytes, found {len(data):,}; "
            "copy or download the file again"
        )
    return data


def _check(data: bytes, checksum: bytes, where: str) -> None:
    if _checksum(data) != checksum:
        raise ValueError(
            f"{where}: the checksum does not fit; the file is damaged, compressed or no tfrecord: "
            "copy or download it again"
        )


def _checksum(data: bytes) -> bytes:
    return struct.pack("<I", masked_crc32c(data))
