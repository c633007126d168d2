"""The log of a run that was cut off reads as that of one that was not."""

from __future__ import annotations

from pathlib import Path

import PIL.Image
import pytest

from mlcd.training.run_log import RunLog, read_lines


def log(folder: Path, start: int = 0, **settings: object) -> RunLog:
    return RunLog(folder, start=start, every=2, **{"tensorboard": False, **settings})  # type: ignore[arg-type]


def test_a_line_is_written_every_so_many_steps_and_at_the_end(tmp_path: Path) -> None:
    with log(tmp_path) as written:
        for done in range(1, 6):
            report = {"loss": 1 / done, "lr": 0.1}
            line = written.step(done, report, pictures=8, is_last=done == 5)
            assert bool(line) == (done in (2, 4, 5))
    lines = read_lines(tmp_path / "losses.jsonl")
    assert [line["step"] for line in lines] == [2, 4, 5]
    assert lines[1]["loss"] == 0.25
    assert lines[1]["pictures_per_s"] > 0
    assert lines[1]["memory_mb"] > 1


def test_lines_after_the_checkpoint_and_a_torn_one_are_taken_back(tmp_path: Path) -> None:
    with log(tmp_path) as written:
        for done in range(1, 9):
            written.step(done, {"loss": 1.0}, pictures=8)
            written.skipped(done, (f"picture of step {done}",))
    with (tmp_path / "losses.jsonl").open("a") as file:
        file.write('{"step": 10, "lo')
    with log(tmp_path, start=4) as written:
        assert written.num_skipped == 4
        assert [line["step"] for line in read_lines(tmp_path / "losses.jsonl")] == [2, 4]
        written.step(6, {"loss": 2.0}, pictures=8)
    lines = read_lines(tmp_path / "losses.jsonl")
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert len(read_lines(tmp_path / "skipped.jsonl")) == 4


def test_only_the_first_rank_writes_losses(tmp_path: Path) -> None:
    with log(tmp_path, rank=1, ranks=2) as written:
        assert written.step(2, {"loss": 1.0}, pictures=8)
        written.skipped(2, ("one",))
        written.draw()
    assert [path.name for path in tmp_path.iterdir()] == ["skipped-1.jsonl"]


def test_the_curves_show_what_was_logged(tmp_path: Path) -> None:
    with log(tmp_path) as written:
        for done in range(1, 9):
            written.step(done, {"loss": 1 / done, "lr": 0.1}, pictures=8)
        written.draw()
    with PIL.Image.open(tmp_path / "losses.png") as picture:
        assert picture.size == (1280, 480)  # loss, lr, pictures per second, memory
        assert len(picture.getcolors(1 << 16) or []) > 4


def test_tensorboard_gets_the_same_numbers(tmp_path: Path) -> None:
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with log(tmp_path, tensorboard=True) as written:
        written.step(2, {"loss": 0.5}, pictures=8)
    events = loader.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    (point,) = events.Scalars("loss")
    assert (point.step, point.value) == (2, 0.5)
