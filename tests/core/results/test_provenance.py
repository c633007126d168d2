"""What a run was made with is found without naming a person, a machine or a place on its disk."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mlcd.core.results import provenance
from mlcd.core.results.provenance import command_line, library_versions, source_commit


def test_a_command_keeps_names_and_loses_places() -> None:
    words = ["/usr/bin/mlcd", "eval", "/data/me/sop", "--tower=~/towers/b32", "out/a b", "--k", "1"]
    assert command_line(words) == "mlcd eval sop --tower=b32 'out/a b' --k 1"


def test_versions_are_read_without_importing_the_libraries() -> None:
    code = (
        "import sys\n"
        "from mlcd.core.results import provenance\n"
        "assert provenance.library_versions()['torch']\n"
        "provenance.hardware()\n"
        "assert 'torch' not in sys.modules"
    )
    import sys

    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_library_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "DISTRIBUTIONS", ("numpy", "no-such-library"))
    assert set(library_versions()) == {"python", "numpy"}


def test_a_repository_that_is_not_ours_gives_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site-packages" / "mlcd" / "core" / "results" / "provenance.py"
    installed.parent.mkdir(parents=True)
    installed.touch()
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.setattr(provenance, "__file__", str(installed))
    assert source_commit() is None


def test_a_changed_source_tree_is_called_dirty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "core" / "results" / "provenance.py"
    source.parent.mkdir(parents=True)
    source.write_text("first")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *command], check=True)
    monkeypatch.setattr(provenance, "__file__", str(source))
    clean = source_commit()
    assert clean is not None
    assert len(clean) == 40
    source.write_text("second")
    assert source_commit() == f"{clean}-dirty"
