"""Work on many processes or machines: a function over ranges of numbers, by Ray Data.

What runs here runs as pure functions of a range of rows or pictures, so a worker that dies costs
the range in its hands and nothing else: Ray gives it to another one. Files that workers read and
write must be on a disk that all of them see.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mlcd.core.optional import require

Table = dict[str, Any]
"""Columns by name, arrays of as many rows: a batch of Ray Data."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RayWorkers:
    """How many workers, and what each of them takes."""

    count: int
    gpus_each: float = 0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"expected at least one worker, got {self.count}")

    def start(self) -> None:
        """Join the Ray cluster that RAY_ADDRESS names, or start one on this machine."""
        ray = require("ray", extra="scale")
        if ray.is_initialized():
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
        if os.environ.get("RAY_ADDRESS"):
            ray.init(log_to_driver=False, logging_level=logging.WARNING)
        else:
            ray.init(
                num_cpus=self.count,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.WARNING,
            )

    def shared(self, thing: Any) -> Any:
        """A reference that workers resolve with `ray.get`: sent to each machine once."""
        self.start()
        return require("ray", extra="scale").put(thing)

    def over_ranges(
        self,
        ranges: Sequence[tuple[int, int]],
        function: Callable[..., Table] | type[Any],
        *,
        arguments: Sequence[Any] = (),
    ) -> Iterator[Table]:
        """The tables that `function(*arguments, start, stop)` gives, in the order of the ranges.

        A class is made once on each worker, as `function(*arguments)`, and then called with start
        and stop. Tables of several ranges may come in one, or one in pieces.
        """
        self.start()
        data = require("ray.data", extra="scale")
        logging.getLogger("ray.data").setLevel(logging.WARNING)  # it tells of every pass
        context = data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        items = [{"start": start, "stop": stop} for start, stop in ranges]
        given = data.from_items(items, override_num_blocks=len(items))
        what: Any = {"fn": _call, "fn_args": (function, tuple(arguments))}
        pool = data.TaskPoolStrategy(size=self.count)
        if isinstance(function, type):
            what = {"fn": _Made, "fn_constructor_args": (function, tuple(arguments))}
            pool = data.ActorPoolStrategy(size=self.count)
        mapped = given.map_batches(
            **what, batch_size=1, compute=pool, num_cpus=1, num_gpus=self.gpus_each
        )
        yield from mapped.iter_batches(batch_size=None, batch_format="numpy")


def _call(batch: Table, function: Callable[..., Table], arguments: tuple[Any, ...]) -> Table:
    return function(*_resolved(arguments), int(batch["start"][0]), int(batch["stop"][0]))


class _Made:
    """An object of the class that was given, on one worker."""

    def __init__(self, made: type[Any], arguments: tuple[Any, ...]) -> None:
        self._made = made(*_resolved(arguments))

    def __call__(self, batch: Table) -> Table:
        table: Table = self._made(int(batch["start"][0]), int(batch["stop"][0]))
        return table


def _resolved(arguments: tuple[Any, ...]) -> list[Any]:
    ray = require("ray", extra="scale")
    return [ray.get(one) if isinstance(one, ray.ObjectRef) else one for one in arguments]
