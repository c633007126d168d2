"""What a run says about itself: losses as JSON lines and in TensorBoard, skipped pictures, curves.

`losses.jsonl` begins where the run began, however often it was cut off: lines of steps that a
checkpoint does not hold are taken back and written again.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from mlcd.core.files import write_text
from mlcd.training.curves import draw_curves

LOSSES = "losses.jsonl"
CURVES = "losses.png"


class RunLog:
    """The log of one rank; only the first one writes losses and curves."""

    def __init__(
        self,
        folder: Path,
        *,
        start: int,
        rank: int = 0,
        ranks: int = 1,
        every: int = 10,
        tensorboard: bool = True,
    ) -> None:
        """`start`: steps that were done before; a line is written every `every` steps."""
        if every < 1:
            raise ValueError(f"expected to log every 1 or more steps, got {every}")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.num_skipped = 0
        self._start, self._every, self._ranks = start, every, ranks
        self._is_main = rank == 0
        self._skipped_file = folder / ("skipped.jsonl" if rank == 0 else f"skipped-{rank}.jsonl")
        self.num_skipped = _take_back(self._skipped_file, start)
        self._losses = None
        self._board: Any = None
        if self._is_main:
            _take_back(folder / LOSSES, start)
            self._losses = (folder / LOSSES).open("a", encoding="utf-8")
            self._board = _tensorboard(folder / "tensorboard", start) if tensorboard else None
        self._pictures, self._since = 0, time.monotonic()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._losses is not None:
            self._losses.close()
        if self._board is not None:
            self._board.close()

    def step(
        self, done: int, report: Mapping[str, float], *, pictures: int, is_last: bool = False
    ) -> dict[str, Any]:
        """Note the report of the step that makes it `done` steps, with this rank's `pictures`.

        Gives the line that is written, or an empty one between two lines.
        """
        self._pictures += pictures
        if done % self._every and not is_last:
            return {}
        now = time.monotonic()
        rate = self._pictures * self._ranks / max(now - self._since, 1e-9)
        self._pictures, self._since = 0, now
        line: dict[str, Any] = {
            "step": done,
            # JSON has no infinity, which a norm is when a scaler leaves its step out.
            **{name: value if math.isfinite(value) else None for name, value in report.items()},
            "pictures_per_s": round(rate, 2),
            "memory_mb": round(peak_memory() / 2**20, 1),
            "skipped": self.num_skipped,
        }
        if self._losses is not None:
            self._losses.write(json.dumps(line) + "\n")
            self._losses.flush()
        if self._board is not None:
            for name, value in line.items():
                if name != "step" and value is not None:
                    self._board.add_scalar(name, value, done)
        return line

    def skipped(self, done: int, reasons: tuple[str, ...]) -> None:
        """Note what could not be read for the step that makes it `done` steps."""
        if not reasons:
            return
        self.num_skipped += len(reasons)
        with self._skipped_file.open("a", encoding="utf-8") as file:
            for reason in reasons:
                file.write(json.dumps({"step": done, "reason": reason}) + "\n")

    def draw(self) -> None:
        """Write the curves of the whole run, `losses.png`."""
        if self._is_main:
            lines = read_lines(self.folder / LOSSES)
            if lines:
                draw_curves(lines, self.folder / CURVES)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; a last one that was cut off is left out. Empty when there is no file."""
    if not path.exists():
        return []
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def peak_memory() -> int:
    """Bytes: what the GPU gave this process at most, without one its resident memory at most."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _take_back(path: Path, start: int) -> int:
    """Drop the lines after step `start`, and a torn one; gives how many lines stay."""
    if not path.exists():
        return 0
    kept = [line for line in read_lines(path) if line["step"] <= start]
    write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
    return len(kept)


def _tensorboard(folder: Path, start: int) -> Any:
    """A writer, or None where tensorboard is not installed: the JSON lines hold the same."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(folder, purge_step=start + 1)
