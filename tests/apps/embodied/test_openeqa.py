"""OpenEQA is answered episode by episode, goes on after a kill, and its numbers hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.apps.embodied.toy_openeqa import toy_frames, toy_questions
from tests.core.language.toy_speaker import toy_speaker

from mlcd.apps.embodied.asking import Ask, asker
from mlcd.apps.embodied.openeqa import PREDICTIONS, OpenEqaSettings, answer_openeqa
from mlcd.core.images import ImageSource
from mlcd.core.results import Result


def run(folder: Path, ask: Ask, frames: Path, **changes: Any) -> Result:
    settings = OpenEqaSettings(**{"num_frames": 3, **changes})
    return answer_openeqa(
        toy_questions(),
        frames,
        ask,
        folder,
        model="toy",
        weights_sha256="none",
        settings=settings,
    )


def right(_: Sequence[ImageSource], question: str) -> str:
    return f"the thing {question.removesuffix('?').split()[-1]}"


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    return toy_frames(tmp_path / "frames", toy_questions())


def test_right_answers_are_all_right(tmp_path: Path, frames: Path) -> None:
    result = run(tmp_path / "r", right, frames)
    assert result.metrics["token F1"] == result.metrics["exact match"] == 1
    assert result.metrics["token F1: world knowledge"] == 1
    assert {"token F1: toy-v0", "token F1: other-v0"} <= set(result.metrics)
    written = json.loads((tmp_path / "r" / PREDICTIONS).read_text())
    assert written[3] == {"question_id": "q3", "answer": "the thing 3"}
    assert [item["question_id"] for item in written] == [q.id for q in toy_questions()]
    assert not result.published


def test_metrics_are_the_plain_means(tmp_path: Path, frames: Path) -> None:
    said = {number: "thing 3" if number < 4 else f"object {number}" for number in range(8)}
    result = run(
        tmp_path / "r", lambda _, text: said[int(text.removesuffix("?").split()[-1])], frames
    )
    # F1: "thing 3" has one of two words of "thing 0" to "thing 2"; object 5 and 7 are accepted,
    # object 4 and 6 have one word of two.
    assert result.metrics["token F1"] == pytest.approx((3 * 0.5 + 1 + 2 * 1 + 2 * 0.5) / 8)
    assert result.metrics["exact match"] == pytest.approx(3 / 8)
    assert result.metrics["exact match: other-v0"] == 0
    assert result.metrics["exact match: toy-v0"] == 3 / 4
    interval = result.intervals["token F1"]
    assert interval.low < result.metrics["token F1"] < interval.high


def test_an_episodes_questions_are_asked_together(tmp_path: Path, frames: Path) -> None:
    seen: list[bytes] = []

    def ask(images: Sequence[ImageSource], text: str) -> str:
        seen.append(b"".join(image.tobytes() for image in images))  # type: ignore[union-attr]
        return "x"

    run(tmp_path / "r", ask, frames)
    assert len(seen) == 8
    assert len(set(seen[:4])) == len(set(seen[4:])) == 1
    assert seen[0] != seen[4]


def test_the_controls_show_one_frame_or_none(tmp_path: Path, frames: Path) -> None:
    counts: list[int] = []

    def ask(images: Sequence[ImageSource], text: str) -> str:
        counts.append(len(images))
        return "x"

    run(tmp_path / "all", ask, frames)
    run(tmp_path / "one", ask, frames, shown="single")
    blind = run(tmp_path / "none", ask, tmp_path / "nowhere", shown="none")
    assert counts == [3] * 8 + [1] * 8 + [0] * 8
    assert "no frame shown" in blind.stamp.protocol


def test_a_killed_run_goes_on(tmp_path: Path, frames: Path) -> None:
    asked: list[str] = []

    def failing(images: Sequence[ImageSource], text: str) -> str:
        if len(asked) == 5:
            raise KeyboardInterrupt
        asked.append(text)
        return right(images, text)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "r", failing, frames)

    def going_on(images: Sequence[ImageSource], text: str) -> str:
        asked.append(text)
        return right(images, text)

    result = run(tmp_path / "r", going_on, frames)
    assert result.metrics["exact match"] == 1
    assert sorted(asked) == sorted(question.text for question in toy_questions())


def test_missing_frames_stop_it_before_anything_is_asked(tmp_path: Path, frames: Path) -> None:
    (frames / "toy-v0/001/00002-rgb.png").unlink()
    with pytest.raises(ValueError, match="frames are missing between"):
        run(tmp_path / "r", right, frames)
    assert not (tmp_path / "r").exists()
    assert run(tmp_path / "r", right, frames, allow_gaps=True).num_samples == 8


def test_other_frames_are_another_measurement(tmp_path: Path, frames: Path) -> None:
    run(tmp_path / "r", right, frames)
    with pytest.raises(ValueError, match="another measurement"):
        run(tmp_path / "r", right, frames, num_frames=2)


def test_a_model_answers_end_to_end(tmp_path: Path, frames: Path) -> None:
    result = run(tmp_path / "r", asker(toy_speaker(), max_new_tokens=4), frames)
    assert result.num_samples == 8
    assert 0 <= result.metrics["token F1"] <= 1
    assert (tmp_path / "r" / "report.html").stat().st_size > 1000
