"""tfrecords are read and written as TensorFlow's format says, and damage is has a place."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcd.core.datasets.tfrecord import read_records, write_records

# One record of three bytes, written down by hand: length, its checksum, the bytes, theirs.
# The checksums were computed bit by bit from the polynomial.
BY_HAND = (
    bytes.fromhex("0300000000000000")
    + bytes.fromhex("b099490e")
    + b"abc"
    + bytes.fromhex("6e57f121")
)


def test_a_file_written_by_hand_is_read(tmp_path: Path) -> None:
    path = tmp_path / "one.tfrecord"
    path.write_bytes(BY_HAND * 2)
    assert list(read_records(path)) == [b"abc", b"abc"]


def test_what_is_written_is_the_same_bytes(tmp_path: Path) -> None:
    assert write_records(tmp_path / "one", [b"abc"]) == 1
    assert (tmp_path / "one").read_bytes() == BY_HAND


def test_records_of_all_lengths_come_back(tmp_path: Path) -> None:
    records = [b"", b"x", b"long " * 30_000]
    write_records(tmp_path / "some", records)
    assert list(read_records(tmp_path / "some")) == records


@pytest.mark.parametrize("kept", [len(BY_HAND) + cut for cut in (1, 8, 12, 14, 18)])
def test_a_truncated_record_is_named_with_its_file_and_offset(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "cut.tfrecord"
    path.write_bytes((BY_HAND * 2)[:kept])
    records = read_records(path)
    assert next(records) == b"abc"
    with pytest.raises(ValueError, match=rf"cut\.tfrecord: the record at byte {len(BY_HAND)} "):
        next(records)


@pytest.mark.parametrize("place", [0, 5, 9, 13, 17])
def test_a_changed_byte_is_found(tmp_path: Path, place: int) -> None:
    damaged = bytearray(BY_HAND)
    damaged[place] ^= 4
    path = tmp_path / "damaged.tfrecord"
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"the record at byte 0.*checksum does not fit"):
        list(read_records(path))


def test_a_compressed_file_is_no_tfrecord(tmp_path: Path) -> None:
    import gzip

    path = tmp_path / "packed"
    path.write_bytes(gzip.compress(BY_HAND * 20))
    with pytest.raises(ValueError, match="compressed"):
        list(read_records(path))
