"""A run goes on bit for bit after kill -9 at any moment, and is the same run on more ranks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlcd.core.towers import load_tower
from mlcd.training.run_log import read_lines

NOT_THE_RUNS = ("pictures_per_s", "memory_mb", "skipped")


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of the runs that `toy_runs.py` makes."""
    folder = tmp_path_factory.mktemp("runs")
    program = Path(__file__).with_name("toy_runs.py")
    done = subprocess.run(
        [sys.executable, program, folder], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 40
    return folder


def losses(run: Path) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in line.items() if name not in NOT_THE_RUNS}
        for line in read_lines(run / "losses.jsonl")
    ]


def assert_close(first: Path, second: Path) -> None:
    for one, other in zip(losses(first), losses(second), strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_after_six_kills_the_loss_curve_is_that_of_an_unbroken_run_bit_for_bit(runs: Path) -> None:
    whole = losses(runs / "whole")
    assert [line["step"] for line in whole] == list(range(1, 41))
    assert losses(runs / "killed") == whole
    assert whole[-1]["loss"] < 0.8 * whole[0]["loss"]


def test_and_so_are_its_weights_and_the_pictures_it_skipped(runs: Path) -> None:
    digests = {load_tower(runs / name / "model").weights_sha256() for name in ("whole", "killed")}
    assert len(digests) == 1
    skipped = [(runs / name / "skipped.jsonl").read_text() for name in ("whole", "killed")]
    assert skipped[0] == skipped[1]
    assert "picture 7: damaged" in skipped[0]


def test_kills_leave_nothing_behind_and_only_the_newest_checkpoints_stay(runs: Path) -> None:
    names = sorted(path.name for path in (runs / "killed" / "checkpoints").iterdir())
    assert names == ["step-00000038", "step-00000040"]
    assert not list((runs / "killed").glob(".*"))


def test_two_ranks_give_the_losses_of_one_process_on_the_whole_batch(runs: Path) -> None:
    assert_close(runs / "one", runs / "ranks")
    rows = sorted((runs / "ranks" / "checkpoints" / "step-00000040").glob("rows-*"))
    assert [path.name for path in rows] == [
        f"rows-0000{rank}-of-00002.safetensors" for rank in (0, 1)
    ]


def test_a_run_that_a_signal_ended_on_two_ranks_goes_on_on_one(runs: Path) -> None:
    assert_close(runs / "one", runs / "moved")


def test_the_curves_are_drawn_at_the_end(runs: Path) -> None:
    assert (runs / "whole" / "losses.png").read_bytes().startswith(b"\x89PNG")
