"""A function over many items in threads: results in order, only a bounded way ahead."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_cores() -> int:
    """Cores this process may run on, which in a container are fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int | None = None,
    ahead: int | None = None,
) -> Iterator[Result]:
    """`function` of each item, in order, computed by `workers` threads (default: one a core).

    At most `ahead` items (default: twice the workers) are taken or kept before the caller asks
    for them. Leaving the iterator early, by a break or Ctrl-C, drops what has not begun and waits
    only for the items in hand. What `function` raises is raised in the item's turn.
    """
    workers = available_cores() if workers is None else workers
    ahead = 2 * workers if ahead is None else ahead
    if workers < 1 or ahead < 1:
        raise ValueError(f"workers and ahead must be at least 1, got {workers} and {ahead}")
    return _ordered_map(function, iter(items), workers, ahead)


def _ordered_map(
    function: Callable[[Item], Result], items: Iterator[Item], workers: int, ahead: int
) -> Iterator[Result]:
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ordered-map")
    try:
        pending: deque[Future[Result]] = deque(
            pool.submit(function, item) for item in islice(items, ahead)
        )
        while pending:
            result = [pending.popleft().result()]
            pending.extend(pool.submit(function, item) for item in islice(items, 1))
            yield result.pop()  # handed over: a local name would keep it alive until the next one
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
