"""OpenEQA's files are read as they are published, and what is wrong with them is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlcd.core.datasets.openeqa import (
    CATEGORIES,
    episode_frames,
    read_openeqa,
    read_predictions,
    sample_frames,
    write_openeqa,
    write_predictions,
)

ITEM: dict[str, Any] = {
    "question": "Where is the mug?",
    "answer": "on the desk",
    "category": "object localization",
    "question_id": "a1",
    "episode_history": "hm3d-v0/000-hm3d-x",
    "extra_answers": ["on the table", "beside the screen"],
}


def write(path: Path, items: Any) -> Path:
    path.write_text(json.dumps(items), encoding="utf-8")
    return path


def make_episode(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_questions_are_read_and_written(tmp_path: Path) -> None:
    other = {key: value for key, value in ITEM.items() if key != "extra_answers"}
    items = [ITEM, other | {"question_id": "a2"}]
    first, second = read_openeqa(write(tmp_path / "q.json", items))
    assert first.extra_answers == ("on the table", "beside the screen")
    assert second.extra_answers == ()
    assert (first.source, first.episode) == ("hm3d-v0", "hm3d-v0/000-hm3d-x")
    write_openeqa(tmp_path / "again.json", [first, second])
    assert json.loads((tmp_path / "again.json").read_text()) == items


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"category": "object smell"}, "item 1: unknown category 'object smell'.*world knowledge"),
        ({"question_id": "a1"}, "item 1: the id 'a1' comes twice"),
        ({"answer": None}, "item 1: expected texts as question_id"),
        ({"episode_history": "../../elsewhere"}, "item 1: expected an episode inside"),
    ],
)
def test_a_wrong_question_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "q.json", [ITEM, {**ITEM, "question_id": "a2", **changes}])
    with pytest.raises(ValueError, match=message):
        read_openeqa(path)


@pytest.mark.parametrize("text", ["[{", "{}", "[]"])
def test_a_file_that_is_no_list_of_questions(tmp_path: Path, text: str) -> None:
    (tmp_path / "q.json").write_text(text)
    with pytest.raises(ValueError, match=r"q\.json: (no JSON|expected a list|no question)"):
        read_openeqa(tmp_path / "q.json")


def test_the_seven_categories() -> None:
    assert len(set(CATEGORIES)) == 7


def test_frames_are_sorted_and_nothing_else(tmp_path: Path) -> None:
    names = [f"{number:05d}-rgb.png" for number in (3, 1, 2, 0)]
    make_episode(tmp_path / "e/1", *names, "00000-depth.png", "00000.txt", "intrinsic_color.txt")
    assert [path.name for path in episode_frames(tmp_path, "e/1")] == sorted(names)


def test_every_tenth_frame_is_no_gap(tmp_path: Path) -> None:
    make_episode(tmp_path / "e", *(f"{number:03d}-rgb.png" for number in range(0, 200, 10)))
    assert len(episode_frames(tmp_path, "e")) == 20


def test_missing_frames_are_named(tmp_path: Path) -> None:
    make_episode(tmp_path / "e", *(f"{number}-rgb.png" for number in (0, 1, 2, 5, 6)))
    with pytest.raises(ValueError, match=r"missing between 2-rgb\.png and 5-rgb\.png"):
        episode_frames(tmp_path, "e")
    assert len(episode_frames(tmp_path, "e", allow_gaps=True)) == 5


def test_names_that_do_not_sort_by_number_are_named(tmp_path: Path) -> None:
    make_episode(tmp_path / "e", *(f"{number}-rgb.png" for number in range(8, 12)))
    with pytest.raises(ValueError, match=r"11-rgb\.png comes before 8-rgb\.png by name"):
        episode_frames(tmp_path, "e")


def test_no_folder_and_no_frames(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such folder"):
        episode_frames(tmp_path, "e")
    make_episode(tmp_path / "e", "00000-depth.png")
    with pytest.raises(ValueError, match="no frame in it"):
        episode_frames(tmp_path, "e")


def test_frames_are_spread_from_the_first_to_the_last() -> None:
    assert sample_frames(11, 3) == [0, 5, 10]
    assert sample_frames(100, 4) == [0, 33, 66, 99]
    assert sample_frames(3, 32) == [0, 1, 2]
    assert sample_frames(600, 1) == [599]
    for total in (33, 50, 97, 600):
        expected = [int(np.round(place)) for place in np.linspace(0, total - 1, 32)]
        assert sample_frames(total, 32) == expected


def test_mlcds_rule_loses_the_end() -> None:
    assert sample_frames(100, 32, "mlcd") == list(range(0, 96, 3))
    assert sample_frames(63, 32, "mlcd") == list(range(32))
    assert sample_frames(10, 32, "mlcd") == list(range(10))


def test_predictions_as_the_official_file_has_them(tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.json", {"a1": "on the desk", "a2": None})
    assert json.loads((tmp_path / "p.json").read_text()) == [
        {"question_id": "a1", "answer": "on the desk"},
        {"question_id": "a2", "answer": None},
    ]
    assert read_predictions(tmp_path / "p.json") == {"a1": "on the desk", "a2": None}


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([{"question_id": "a1"}], "item 0: expected question_id and answer"),
        ([{"question_id": "a1", "answer": 3}], "item 0: expected two texts"),
        ([{"question_id": "a1", "answer": "x"}] * 2, "item 1: question 'a1' is answered twice"),
    ],
)
def test_wrong_predictions_are_named(tmp_path: Path, items: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_predictions(write(tmp_path / "p.json", items))
