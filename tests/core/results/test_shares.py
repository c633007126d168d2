"""Several processes at one evaluation: everything once, and the same result as of one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mlcd.cli.main import main
from mlcd.core.results import Evaluation, Result, Stamp, load_result
from mlcd.core.results.result import SAMPLES
from mlcd.core.results.shares import Share, evaluate_shared

IDS = [f"s{number}" for number in range(11)]


class KilledError(Exception):
    pass


class Worker:
    """Scores 0.0, 0.1 ... in the order of the set; notes what it did, and can be killed."""

    def __init__(self, folder: Path, stamp: Stamp) -> None:
        self.folder, self.stamp = folder, stamp
        self.did: list[str] = []

    def run(self, share: Share, *, killed_after: int | None = None) -> Result | None:
        def work(evaluation: Evaluation) -> None:
            added = 0
            for place, name in enumerate(IDS):
                if share.takes(place) and name not in evaluation.done:
                    if added == killed_after:
                        raise KilledError
                    evaluation.add({"id": name, "score": place / 10 if place <= 10 else 0})
                    self.did.append(name)
                    added += 1

        def finish(evaluation: Evaluation) -> Result:
            samples = evaluation.samples()
            return evaluation.finish({"mean": sum(own["score"] for own in samples) / len(samples)})

        return evaluate_shared(self.folder, self.stamp, IDS, share=share, work=work, finish=finish)


@pytest.fixture
def worker(tmp_path: Path, stamp: Stamp) -> Worker:
    return Worker(tmp_path / "out", stamp)


def check_whole(worker: Worker) -> None:
    result = load_result(worker.folder)
    assert [sample["id"] for sample in result.samples()] == IDS
    assert result.metrics == {"mean": pytest.approx(0.5)}
    assert sorted(worker.did) == sorted(IDS)  # nothing twice
    names = {path.name for path in worker.folder.iterdir()}
    assert names == {"result.json", SAMPLES, "report.html"}


@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_any_number_of_processes_finishes_once(worker: Worker, count: int) -> None:
    results = [worker.run(Share(number, count)) for number in range(count)]
    (result,) = [result for result in results if result is not None]
    check_whole(worker)
    assert len(result.runs) == min(count, len(IDS))


def test_the_samples_are_the_same_bytes_as_of_one_process(tmp_path: Path, stamp: Stamp) -> None:
    alone, shared = Worker(tmp_path / "one", stamp), Worker(tmp_path / "three", stamp)
    one = alone.run(Share())
    for number in (2, 0, 1):
        three = shared.run(Share(number, 3))
    assert one is not None
    assert three is not None
    assert (alone.folder / SAMPLES).read_bytes() == (shared.folder / SAMPLES).read_bytes()
    assert one.metrics == three.metrics
    assert one.intervals == three.intervals


@pytest.mark.parametrize("counts", [(1, 1), (3, 3), (3, 2), (3, 1), (1, 3), (2, 5)])
def test_a_killed_run_goes_on_with_any_number(worker: Worker, counts: tuple[int, int]) -> None:
    first, second = counts
    for number in range(first):
        with pytest.raises(KilledError):
            worker.run(Share(number, first), killed_after=2)
    done = len(worker.did)
    assert done == 2 * first
    for number in range(second):
        worker.run(Share(number, second))
    assert len(worker.did) == len(IDS)
    check_whole(worker)
    assert len(load_result(worker.folder).runs) == first + second


def test_a_line_that_a_kill_tore_is_done_again(worker: Worker) -> None:
    with pytest.raises(KilledError):
        worker.run(Share(0, 2), killed_after=2)
    log = worker.folder / "parts" / "0-of-2" / SAMPLES
    log.write_bytes(log.read_bytes()[:-5])
    for number in range(2):
        worker.run(Share(number, 2))
    assert sorted(worker.did) == sorted([*IDS, worker.did[1]])
    assert len(load_result(worker.folder).samples()) == len(IDS)


def test_a_finished_one_is_given_by_the_first_alone(worker: Worker) -> None:
    worker.run(Share())
    assert worker.run(Share(1, 2)) is None
    assert worker.run(Share(0, 2)) is not None
    check_whole(worker)


def test_parts_of_another_measurement_are_refused(worker: Worker, stamp: Stamp) -> None:
    worker.run(Share(0, 2))
    other = Worker(worker.folder, dataclasses.replace(stamp, seed=4))
    for share in (Share(), Share(0, 2), Share(1, 2), Share(2, 3)):
        with pytest.raises(ValueError, match=r"holds another measurement: seed is 3 there and 4"):
            other.run(share)
    assert other.did == []


def test_two_processes_of_one_number_are_refused(worker: Worker) -> None:
    with (
        Evaluation.open(worker.folder / "parts" / "0-of-2", worker.stamp),
        pytest.raises(ValueError, match="another process is writing"),
    ):
        worker.run(Share(0, 2))


def test_an_unfinished_one_says_how_far_it_is(
    worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    worker.run(Share(0, 2))
    assert main(["results", "show", str(worker.folder)]) == 1
    assert "6 of 11 samples are done" in capsys.readouterr().err


def test_torchrun_says_which_process_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert Share.from_environment() == Share(0, 1)
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert Share.from_environment() == Share(3, 4)
    assert [place for place in range(10) if Share(3, 4).takes(place)] == [3, 7]
    for wrong in ("4", "x"):
        monkeypatch.setenv("RANK", wrong)
        with pytest.raises(ValueError, match="RANK and WORLD_SIZE in the environment"):
            Share.from_environment()
