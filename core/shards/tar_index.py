"""Where the samples of a tar shard stand: one pass over its headers, kept beside it as a file.

    00000.tar         KEY.jpg, KEY.txt, KEY.json, ... one sample after the other (webdataset)
    00000.tar.index   this file's: a header of JSON, a record a sample, the keys

An index belongs to one size and time of change of its tar and is built anew for another. Nothing
is ever extracted: names are keys and no paths, whatever stands in them. Links, devices and
members of other kinds than pictures, text, JSON and plain arrays are passed over unread.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mlcd.core.files import atomic_path

_MAGIC = b"mlcdidx1"
_BLOCK = 512
_NAME = re.compile(r"((?:.*/)?[^./][^.]*)\.([^/]+)", re.DOTALL)
"""webdataset's rule: the key goes up to the first dot of the last part."""

SUFFIXES = ("jpg", "jpeg", "png", "webp")
"""Of the members that are pictures."""
FIELDS = ("image", "text", "json", "cls", "npy")
_FIELD_OF = {
    **dict.fromkeys(SUFFIXES, "image"),
    "txt": "text",
    "json": "json",
    "cls": "cls",
    "npy": "npy",
}
RECORD = np.dtype(
    [(f"{name}_{what}", "<u8") for name in FIELDS for what in ("start", "size")]
    + [("key_start", "<u8"), ("key_size", "<u4")]
)
"""Size 0 stands for a member that the sample does not have."""
_MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class TarIndex:
    """The samples of one shard that have a picture."""

    records: NDArray[np.void]
    """(n,) of `RECORD`."""
    keys: NDArray[np.uint8]
    """UTF-8 of all keys, one after the other."""
    problems: tuple[str, ...]
    """What in the shard is no part of a sample and why, in words; at most 20 and a count."""

    def key(self, row: int) -> str:
        """The key of a sample: its members' name without what follows the first dot."""
        start, size = int(self.records["key_start"][row]), int(self.records["key_size"][row])
        return self.keys[start : start + size].tobytes().decode(errors="surrogateescape")


@dataclass(frozen=True, slots=True)
class TarState:
    """What tells one state of a tar file from another."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, tar: Path) -> TarState:
        """The state that the file is in now."""
        state = tar.stat()
        return cls(state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=512)  # mapped, so what stays in memory is little; threads and forks share it
def map_index(path: Path, state: TarState) -> TarIndex:
    """The index in `path`, mapped. ValueError or OSError when it is none of such a tar file."""
    with path.open("rb") as file:
        magic, length = file.read(8), int.from_bytes(file.read(8), "little")
        if magic != _MAGIC or length > path.stat().st_size:
            raise ValueError(f"{path}: not an index of a shard")
        header = json.loads(file.read(length))
    try:
        then = TarState(header["tar_size"], header["tar_mtime_ns"])
        count, key_bytes = int(header["samples"]), int(header["key_bytes"])
        problems = tuple(map(str, header["problems"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: a damaged index: {error}") from error
    start = 16 + length
    stop = start + count * RECORD.itemsize
    if then != state or path.stat().st_size != stop + key_bytes:
        raise ValueError(f"{path}: the index of another state of the shard, or cut short")
    data = np.memmap(path, dtype=np.uint8, mode="r")
    return TarIndex(data[start:stop].view(RECORD), data[stop:], problems)


def write_index(path: Path, tar: Path) -> None:
    """Build the index of `tar` in `path`, atomically. ValueError when `tar` is no tar file."""
    state = TarState.of(tar)
    records, keys, problems = _scan(tar)
    header = json.dumps(
        {
            "tar_size": state.size,
            "tar_mtime_ns": state.mtime_ns,
            "samples": len(records),
            "key_bytes": len(keys),
            "problems": problems,
        }
    ).encode()
    header += b" " * (-len(header) % 8)
    with atomic_path(path) as part, part.open("wb") as file:
        file.write(_MAGIC + len(header).to_bytes(8, "little") + header)
        file.write(records.tobytes() + keys)


class _Problems:
    """A list of words that does not grow without end."""

    def __init__(self) -> None:
        self._said: list[str] = []
        self._more = 0

    def add(self, text: str) -> None:
        if len(self._said) < _MOST_PROBLEMS:
            self._said.append(text)
        else:
            self._more += 1

    def listed(self) -> list[str]:
        return [*self._said, f"and {self._more:,} more"] if self._more else self._said


def _scan(tar: Path) -> tuple[NDArray[np.void], bytes, list[str]]:
    """Records, keys and problems of a shard."""
    rows: list[tuple[int, ...]] = []
    keys = bytearray()
    problems = _Problems()
    for key, members in _samples(tar, problems):
        if "image" not in members:
            problems.add(f"{key!r} has no picture")
            continue
        coded = key.encode(errors="surrogateescape")
        places = [part for name in FIELDS for part in members.get(name, (0, 0))]
        rows.append((*places, len(keys), len(coded)))
        keys += coded
    return np.array(rows, dtype=RECORD), bytes(keys), problems.listed()


def _samples(tar: Path, problems: _Problems) -> Iterator[tuple[str, dict[str, tuple[int, int]]]]:
    """Key and members, (start, size) by field, of each run of members with the same key."""
    key: str | None = None
    members: dict[str, tuple[int, int]] = {}
    for member in _members(tar, problems):
        if member.isdir():
            continue
        if not member.isreg() or member.issparse():
            problems.add(f"{member.name!r} is a link, a device or sparse: passed over")
            continue
        match = _NAME.fullmatch(member.name)
        if match is None:
            problems.add(f"{member.name!r} is no name of the form KEY.SUFFIX: passed over")
            continue
        if match[1] != key:
            if key is not None:
                yield key, members
            key, members = match[1], {}
        field = _FIELD_OF.get(match[2].lower())
        if field is None:
            continue
        if field in members:
            problems.add(f"{member.name!r}: a second {field} of the same sample: passed over")
            continue
        if member.size:
            members[field] = (member.offset_data, member.size)
    if key is not None:
        yield key, members


def _members(path: Path, problems: _Problems) -> Iterator[tarfile.TarInfo]:
    """The members that are there as a whole; where the file breaks off is a problem."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            tar: Any = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115 - `file` is what is open
        except tarfile.TarError as error:
            if not size:
                problems.add("the file is empty")
                return
            raise ValueError(f"{path}: not an uncompressed tar file ({error})") from error
        last = "its beginning"
        try:
            while (member := tar.next()) is not None:
                if member.isreg() and member.offset_data + member.size > size:
                    problems.add(f"cut off in {member.name!r}: the samples before it are kept")
                    return
                last = repr(member.name)
                yield member
                tar.members = []  # it would keep every member that it has seen
        except (tarfile.TarError, ValueError, OverflowError, OSError, EOFError) as error:
            problems.add(f"damaged or cut off after {last}: {error}")
            return
        _check_end(file, tar.offset, problems, last)


def _check_end(file: BinaryIO, offset: int, problems: _Problems, last: str) -> None:
    """`tarfile` ends without a word at a header that is damaged or missing."""
    file.seek(offset)
    block = file.read(_BLOCK)
    if block.strip(b"\0"):
        problems.add(f"damaged after {last}: no tar header at byte {offset:,}")
    elif len(block) < _BLOCK:
        problems.add(f"cut off after {last}: the end marker of a tar file is missing")
