"""Every command and every piece of Python in the README runs, in the order of reading."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """The lines of all bash blocks, in order; a backslash at the end joins the next line."""
    text = "".join(blocks("bash")).replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def test_every_make_target_exists() -> None:
    targets = [line.split()[1] for line in commands() if line.startswith("make ")]
    assert "demo" in targets
    assert "test" in targets
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def test_every_linked_file_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert "CONVENTIONS.md" in links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with the reader's photographs in `photos`."""
    shutil.copytree(str(files("mlcd.assets") / "samples"), tmp_path / "photos")
    return tmp_path


@pytest.mark.slow
def test_every_command_and_every_python_block_runs(folder: Path) -> None:
    binaries = Path(sys.executable).parent
    variables = os.environ | {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    lines = [line for line in commands() if not line.startswith(("make ", "source ", "git "))]
    assert lines
    for line in lines:
        done = subprocess.run(
            ["bash", "-euc", line], cwd=folder, env=variables, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}"
    for block in blocks("python"):
        done = subprocess.run(
            [sys.executable, "-c", block], cwd=folder, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{block}\n{done.stderr[-3000:]}"
