"""Atomic writes: the whole new content, or the old one, and nothing beside it."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from mlcd.core.files import atomic_folder, atomic_path, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_half(path: Path, error: BaseException) -> None:
    path.write_text("half of the ne")
    raise error


def test_a_file_appears_when_the_block_ends_and_its_folders_are_made(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "er" / "a.txt"
    with atomic_path(target) as part:
        part.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert names(target.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_no_rest(tmp_path: Path, error: BaseException) -> None:
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(type(error)), atomic_path(tmp_path / "a.txt") as part:
        write_half(part, error)
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_text_is_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "Grüße ☃")
    assert (tmp_path / "a.txt").read_bytes() == "Grüße ☃".encode()


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "a.txt", "new")
        with atomic_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o755


@pytest.mark.parametrize("is_there", [False, True])
def test_a_folder_appears_when_the_block_ends(tmp_path: Path, is_there: bool) -> None:
    target = tmp_path / "model"
    if is_there:
        target.mkdir()  # an empty one is no obstacle
    with atomic_folder(target) as part:
        (part / "a").write_text("new")
        assert not (target / "a").exists()
    assert names(target) == ["a"]
    assert names(tmp_path) == ["model"]


def test_a_full_folder_is_replaced_only_when_asked_for(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").write_text("old")
    with pytest.raises(FileExistsError, match="is not empty"), atomic_folder(target):
        pass
    assert names(target) == ["old"]
    with atomic_folder(target, overwrite=True) as part:
        (part / "new").write_text("new")
    assert names(target) == ["new"]
    assert names(tmp_path) == ["model"]


def test_a_file_is_never_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("mine")
    with (
        pytest.raises(FileExistsError, match="is a file"),
        atomic_folder(tmp_path / "model", overwrite=True),
    ):
        pass
    assert (tmp_path / "model").read_text() == "mine"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_folder_and_no_rest(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").write_text("old")
    with pytest.raises(type(error)), atomic_folder(target, overwrite=True) as part:
        write_half(part / "old", error)
    assert (target / "old").read_text() == "old"
    assert names(tmp_path) == ["model"]


def test_a_failure_in_the_midst_of_the_exchange_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").write_text("old")
    replace = Path.replace

    def fail_for_the_new_one(self: Path, other: Path) -> Path:
        if self.suffix == ".part":
            raise OSError(errno.EIO, "Input/output error", str(self))
        return replace(self, other)

    monkeypatch.setattr(Path, "replace", fail_for_the_new_one)
    with (
        pytest.raises(OSError, match="Input/output error"),
        atomic_folder(target, overwrite=True) as part,
    ):
        (part / "new").write_text("new")
    assert (target / "old").read_text() == "old"
    assert names(tmp_path) == ["model"]
