"""Judges mark on the published scale; when one fails, no mark is lost and none is given twice."""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path

import pytest
from tests.apps.embodied.toy_judge import Saying
from tests.apps.embodied.toy_openeqa import toy_questions
from tests.core.language.toy_speaker import toy_speaker

from mlcd.apps.embodied.judge import ExpectingJudge, Judge, WritingJudge, own_prompt
from mlcd.apps.embodied.openeqa_judging import SCORES, judge_openeqa
from mlcd.core.language.remote_answer import RemoteError
from mlcd.core.results import Result

PREDICTIONS: dict[str, str | None] = {q.id: f"a thing {q.id[1:]}" for q in toy_questions()}


def number_in(text: str) -> int:
    return int(text.rpartition("What is number ")[2].partition("?")[0])


def run(
    folder: Path,
    judge: Judge,
    predictions: dict[str, str | None] = PREDICTIONS,
    workers: int = 1,
) -> Result:
    return judge_openeqa(
        toy_questions(),
        predictions,
        judge,
        folder,
        model="toy",
        prompt=own_prompt(),
        workers=workers,
    )


def test_the_score_is_the_mean_of_the_marks_above_one(tmp_path: Path) -> None:
    judge = WritingJudge(Saying(lambda text: str(1 + number_in(text) % 5)))
    result = run(tmp_path / "j", judge)
    marks = [1 + number % 5 for number in range(8)]
    assert result.metrics["LLM-match"] == pytest.approx(sum(m - 1 for m in marks) / 4 / 8)
    assert result.metrics["LLM-match: other-v0"] == pytest.approx((0 + 2 + 4 + 1) / 16)
    written = json.loads((tmp_path / "j" / SCORES).read_text())
    assert written == {f"q{number}": mark for number, mark in enumerate(marks)}
    assert "toy" in result.stamp.protocol


def test_a_missing_answer_is_no_point_and_is_not_judged(tmp_path: Path) -> None:
    backend = Saying(lambda _: "5")
    result = run(tmp_path / "j", WritingJudge(backend), {**PREDICTIONS, "q2": None})
    assert result.metrics["LLM-match"] == pytest.approx(7 / 8)
    assert len(backend.asked) == 7
    assert json.loads((tmp_path / "j" / SCORES).read_text())["q2"] == 0


def test_several_right_answers_reach_the_judge_and_the_prediction_is_cut(tmp_path: Path) -> None:
    backend = Saying(lambda _: "Your mark: 4")
    run(tmp_path / "j", WritingJudge(backend), {**PREDICTIONS, "q1": "a mug. It is on t"})
    own = next(text for text in backend.asked if number_in(text) == 1)
    assert "Other right answers: object 1\nAnswer: a mug.\nYour mark:" in own
    assert "Other right answers" not in next(t for t in backend.asked if number_in(t) == 2)


@pytest.mark.parametrize("workers", [1, 3])
def test_nonsense_stops_nothing_else_and_the_next_run_asks_for_it_alone(
    tmp_path: Path, workers: int
) -> None:
    lost = {2, 5}
    backend = Saying(lambda text: "I like it" if number_in(text) in lost else "5")
    with pytest.raises(ValueError, match=r"2 answers have no mark: toy gave no mark.*I like it"):
        run(tmp_path / "j", WritingJudge(backend, attempts=2), workers=workers)
    counts = Counter(map(number_in, backend.asked))
    assert counts == {number: 2 if number in lost else 1 for number in range(8)}
    better = Saying(lambda _: "3")
    result = run(tmp_path / "j", WritingJudge(better), workers=workers)
    assert sorted(map(number_in, better.asked)) == [2, 5]
    assert result.metrics["LLM-match"] == pytest.approx((6 * 1 + 2 * 0.5) / 8)


@pytest.mark.parametrize("failure", [ConnectionError("refused"), TimeoutError("after 60 s")])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_judge_that_dies_in_the_middle_is_asked_no_more(
    tmp_path: Path, failure: OSError, workers: int
) -> None:
    lock, given = threading.Lock(), []

    def dying(text: str) -> str:
        with lock:
            if len(given) == 4:
                raise failure
            given.append(number_in(text))
        return "5"

    backend = Saying(dying)
    with pytest.raises(ValueError, match=f"4 answers have no mark: .*{failure}.*run the same"):
        run(tmp_path / "j", WritingJudge(backend), workers=workers)
    assert len(backend.asked) < 5 + workers  # those on their way, and no others
    alive = Saying(lambda _: "1")
    result = run(tmp_path / "j", WritingJudge(alive), workers=workers)
    assert sorted([*given, *map(number_in, alive.asked)]) == list(range(8))  # nothing twice
    assert result.metrics["LLM-match"] == pytest.approx(4 / 8)


def test_a_request_that_the_server_refuses_stops_no_other(tmp_path: Path) -> None:
    def refusing(text: str) -> str:
        if number_in(text) == 3:
            raise RemoteError("too long", status=400)
        return "5"

    with pytest.raises(ValueError, match=r"1 answers have no mark: .*too long"):
        run(tmp_path / "j", WritingJudge(Saying(refusing)))


def test_another_judge_is_another_measurement(tmp_path: Path) -> None:
    run(tmp_path / "j", WritingJudge(Saying(lambda _: "5")))
    other = Saying(lambda _: "5")
    other.name = "somebody else"
    with pytest.raises(ValueError, match=r"settings\.judge is 'toy' there"):
        run(tmp_path / "j", WritingJudge(other))


def test_other_predictions_are_refused(tmp_path: Path) -> None:
    judge = WritingJudge(Saying(lambda _: "5"))
    with pytest.raises(ValueError, match=r"1 are missing and 1 belong to none.*\(q0, zz\)"):
        run(tmp_path / "j", judge, {**{f"q{n}": "x" for n in range(1, 8)}, "zz": "x"})


def test_a_local_model_gives_the_mark_that_it_expects(tmp_path: Path) -> None:
    result = run(tmp_path / "j", ExpectingJudge(toy_speaker(max_length=8192)))
    marks = list(json.loads((tmp_path / "j" / SCORES).read_text()).values())
    assert all(1 < mark < 5 for mark in marks)
    assert result.metrics["LLM-match"] == pytest.approx(sum((m - 1) / 4 for m in marks) / 8)
