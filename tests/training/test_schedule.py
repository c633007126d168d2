"""The learning rate rises in a line, falls as asked, and ends at zero."""

from __future__ import annotations

import pytest

from mlcd.training.schedule import Schedule, ScheduleKind


@pytest.mark.parametrize("kind", ["cosine", "polynomial"])
def test_it_rises_to_the_peak_and_falls_to_zero(kind: ScheduleKind) -> None:
    schedule = Schedule(steps=100, warmup_steps=10, kind=kind, power=2)
    shares = [schedule(step) for step in range(101)]
    assert shares[:10] == [(step + 1) / 10 for step in range(10)]
    assert shares[10] == 1
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert shares[100] == pytest.approx(0, abs=1e-12)


def test_half_way_the_cosine_is_at_a_half_and_the_square_at_a_quarter() -> None:
    assert Schedule(steps=100, kind="cosine")(50) == pytest.approx(0.5)
    assert Schedule(steps=100, kind="polynomial", power=2)(50) == pytest.approx(0.25)
    assert Schedule(steps=100, kind="constant")(99) == 1


def test_a_warm_up_longer_than_the_run_is_refused() -> None:
    with pytest.raises(ValueError, match="warmup_steps 11"):
        Schedule(steps=10, warmup_steps=11)
