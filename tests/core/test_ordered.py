"""Threads that give results in order, only a bounded way ahead, and end with their reader."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from mlcd.core.ordered import available_cores, ordered_map


def test_results_come_in_the_order_of_the_items() -> None:
    def slow_for_even(number: int) -> int:
        time.sleep(0.002 * (number % 2 == 0))
        return number * number

    assert list(ordered_map(slow_for_even, range(50), workers=4)) == [n * n for n in range(50)]


def test_several_items_are_in_hand_at_once() -> None:
    meeting = threading.Barrier(3, timeout=10)
    assert len(list(ordered_map(lambda _: meeting.wait(), range(3), workers=3))) == 3


def test_only_so_many_items_are_taken_before_they_are_asked_for() -> None:
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    results = ordered_map(lambda number: number, endless(), workers=2, ahead=5)
    assert taken == 0  # nothing begins before the first is asked for
    for asked in range(1, 20):
        assert next(results) == asked
        assert taken <= asked + 5
    results.close()  # type: ignore[attr-defined]


def test_an_error_comes_in_the_turn_of_its_item() -> None:
    results = ordered_map(lambda number: 1 // (3 - number), range(10), workers=4)
    assert [next(results) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []


def test_leaving_early_drops_what_has_not_begun_and_leaves_no_thread() -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        time.sleep(0.01)
        return number

    results = ordered_map(work, range(1000), workers=2, ahead=100)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert len(begun) < 20
    assert not [thread for thread in threading.enumerate() if "ordered-map" in thread.name]


@pytest.mark.parametrize(("workers", "ahead"), [(0, None), (1, 0)])
def test_fewer_than_one_is_refused_at_once(workers: int, ahead: int | None) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        ordered_map(abs, [1], workers=workers, ahead=ahead)


def test_nothing_gives_nothing_and_there_is_a_core() -> None:
    assert list(ordered_map(abs, [])) == []
    assert available_cores() >= 1
