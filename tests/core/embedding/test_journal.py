"""The journal keeps every whole batch, and nothing else, wherever its files were cut off."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mlcd.core.embedding.journal import EmbeddingJournal

BATCHES = [(4, 4, []), (8, 3, [(5, "no such file: ä\n")]), (9, 0, [(8, "empty")]), (12, 3, [])]


def rows(start: int, count: int) -> np.ndarray:
    return np.random.default_rng(start).normal(size=(count, 5 if count else 0)).astype(np.float32)


def fill(journal: EmbeddingJournal) -> None:
    """Append what is missing of `BATCHES`."""
    for stop, count, failures in BATCHES:
        if stop > journal.stop:
            journal.append(stop, rows(stop, count), failures)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    fill(EmbeddingJournal(tmp_path / "whole"))
    return tmp_path / "whole"


def finished(folder: Path) -> np.ndarray:
    journal = EmbeddingJournal(folder)
    fill(journal)
    assert (journal.stop, journal.rows, journal.width) == (12, 10, 5)
    assert journal.failures == [(5, "no such file: ä\n"), (8, "empty")]
    journal.finish()
    return np.load(journal.rows_file)


def test_a_finished_journal_is_a_plain_npy_file_with_all_rows(whole: Path) -> None:
    array = finished(whole)
    assert array.dtype == np.float32
    assert np.array_equal(array, np.concatenate([rows(4, 4), rows(8, 3), rows(12, 3)]))
    mapped = np.load(whole / "embeddings.npy", mmap_mode="r")
    assert mapped.shape == (10, 5)


@pytest.mark.parametrize("name", ["journal.jsonl", "embeddings.npy"])
def test_cut_off_anywhere_it_goes_on_after_the_last_whole_batch(whole: Path, name: str) -> None:
    expected = finished(shutil.copytree(whole, whole.parent / "finished"))
    size = (whole / name).stat().st_size
    stops = set()
    for length in range(size + 1):
        cut = shutil.copytree(whole, whole.parent / f"cut-{length}")
        with (cut / name).open("r+b") as file:
            file.truncate(length)
        stops.add(EmbeddingJournal(cut).stop)
        assert np.array_equal(finished(cut), expected), length
    # Rows cut off before a batch without rows take it along: batches count only in order.
    assert stops == ({0, 4, 8, 9, 12} if name == "journal.jsonl" else {0, 4, 9, 12})


def test_damaged_rows_do_not_count(whole: Path) -> None:
    """What a power cut leaves: the file is long enough, but a block never reached the disk."""
    expected = finished(shutil.copytree(whole, whole.parent / "finished"))
    with (whole / "embeddings.npy").open("r+b") as file:
        file.seek(128 + 4 * 5 * 4 + 10)
        file.write(b"\0" * 8)
    assert EmbeddingJournal(whole).stop == 4
    assert np.array_equal(finished(whole), expected)


@pytest.mark.parametrize("line", [b"{}\n", b"[]\n", b"\xff\n", b"null\n", b'{"failures": 3}\n'])
def test_a_damaged_line_does_not_count(whole: Path, line: bytes) -> None:
    lines = (whole / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (whole / "journal.jsonl").write_bytes(lines[0] + line + b"".join(lines[2:]))
    assert EmbeddingJournal(whole).stop == 4


def test_rows_of_another_width_are_refused(whole: Path) -> None:
    journal = EmbeddingJournal(whole)
    with pytest.raises(ValueError, match="embeddings of width 6 after others of 5"):
        journal.append(13, np.zeros((1, 6), np.float32), [])


@pytest.mark.parametrize("count", [1, 99, 1234567])
def test_the_header_of_any_length_is_one_that_numpy_reads(tmp_path: Path, count: int) -> None:
    journal = EmbeddingJournal(tmp_path)
    journal.append(count, np.ones((count, 1), np.float32), [])
    journal.finish()
    assert np.load(tmp_path / "embeddings.npy").shape == (count, 1)
