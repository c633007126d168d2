"""samples.jsonl keeps whole lines only, and says which line is damaged."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from mlcd.core.results.sample_log import SampleLog, read_samples


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text('{"id": "a"}\n{"id": "b", \n{"id": "c"}\n')
    with pytest.raises(ValueError, match=r"samples.jsonl, line 2 is not JSON.*delete this line"):
        read_samples(path)


def test_zeros_that_a_power_cut_left_are_named(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_bytes(b'{"id": "a"}\n' + b"\0" * 20 + b"\n")
    with pytest.raises(ValueError, match="line 2 is not JSON"):
        read_samples(path)


@pytest.mark.parametrize("line", ["[1]", "{}", '{"id": 3}', "null"])
def test_a_line_without_an_id_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text(f'{{"id": "a"}}\n{line}\n')
    with pytest.raises(ValueError, match="line 2: expected an object with an id"):
        read_samples(path)


def test_an_id_that_came_before_is_named_with_both_lines(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text('{"id": "a"}\n{"id": "b"}\n{"id": "a"}\n')
    with pytest.raises(ValueError, match=r"line 3: sample 'a' is already on line 1"):
        read_samples(path)


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    with SampleLog(path) as log:
        log.append({"id": "a"})
        before = path.read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                log.append({"id": "b", "padding": "x" * 100})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert path.read_bytes() == before
        assert [sample["id"] for sample in log.samples] == ["a"]
        log.append({"id": "b"})
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["a", "b"]


def test_a_sample_is_on_disk_when_append_returns(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    with SampleLog(path) as log:
        for key in ("a", "b"):
            log.append({"id": key})
            assert read_samples(path)[-1] == {"id": key}
