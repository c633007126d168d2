"""A Ray of this process alone, and the killing of its workers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def ray_session() -> Iterator[None]:
    """Workers find the tests' modules; everything that was started is ended."""
    ray = pytest.importorskip("ray")
    root = str(Path(__file__).parents[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", root)
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.delenv("RAY_ADDRESS", raising=False)
        try:
            yield
        finally:
            ray.shutdown()


def kill_busy_worker() -> bool:
    """Kill -9 a worker of this process's Ray that is at work; False when none is."""
    for pid in _descendants(os.getpid()):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:  # it has just ended
            continue
        if words.startswith(b"ray::Map") and b"__init__" not in words:
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found[1:]
