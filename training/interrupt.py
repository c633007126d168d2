"""Ctrl-C and SIGTERM as a question that a loop asks between two steps."""

from __future__ import annotations

import signal
import sys
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import distributed as dist

from mlcd.training.heads.collectives import default_group

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class InterruptRequest:
    """Within its `with` block the first signal only asks for an end; a second one acts as usual."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._is_asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> InterruptRequest:
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def is_asked(self) -> bool:
        """Whether any rank got a signal. All ranks call it together and get the same answer."""
        if default_group() is None:
            return self._is_asked
        anywhere = torch.tensor(int(self._is_asked), device=self._device)
        dist.all_reduce(anywhere, op=dist.ReduceOp.MAX)
        return bool(anywhere.item())

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._is_asked = True
        self._restore()
        print("stopping after this step; once more to stop at once", file=sys.stderr, flush=True)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
