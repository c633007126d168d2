"""What a number was made with: versions, hardware, commit, command.

Nothing here names a person, a machine or a place on its disk.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# The distributions whose version can change a number.
DISTRIBUTIONS = (
    "mlcd", "numpy", "pillow", "torch", "transformers", "safetensors",
    "faiss-cpu", "faiss-gpu-cu12", "flash-attn",
)  # fmt: skip


def now() -> str:
    """This moment in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def library_versions() -> dict[str, str]:
    """Version of Python and of each installed library that can change a number; imports none."""
    versions = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def hardware() -> dict[str, str]:
    """Processor, cores that this process may use, and the GPU when torch is loaded and sees one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = {
        "system": platform.system(),
        "processor": _processor(),
        "cores": str(cores or 1),
    }
    torch = sys.modules.get("torch")  # an evaluation without torch used no GPU
    if torch is not None:
        found["torch_threads"] = str(torch.get_num_threads())
        if torch.cuda.is_available():
            found["gpu"] = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
    return found


def source_commit() -> str | None:
    """Commit of our source tree, `-dirty` when it has changes; None for an installed wheel."""
    root = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
        return done.stdout.strip()

    try:
        # A wheel inside somebody's repository must not report that repository's commit.
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root:
            return None
        dirty = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("-dirty" if dirty else "")
    except (OSError, subprocess.SubprocessError):
        return None


def command_line(arguments: Sequence[str] | None = None) -> str:
    """The command that runs now, to be typed again; absolute paths shortened to their last part."""
    words = sys.argv if arguments is None else arguments
    return shlex.join(re.sub(r"(?:^|(?<==))[/~][^=]*", _last_part, word) for word in words)


def _last_part(path: re.Match[str]) -> str:
    return Path(path.group()).name


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One process that worked on an evaluation; a resumed evaluation has several."""

    first_sample: int = 0  # how many samples were done when it began
    started: str = field(default_factory=now)
    command: str = field(default_factory=command_line)
    commit: str | None = field(default_factory=source_commit)
    versions: dict[str, str] = field(default_factory=library_versions)
    hardware: dict[str, str] = field(default_factory=hardware)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()
