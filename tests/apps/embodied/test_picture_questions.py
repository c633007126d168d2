"""Question files are read whole or refused by item; pictures can be swapped or taken away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlcd.apps.embodied.picture_questions import questions_digest, read_questions, with_pictures


def item(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"q{number}",
        "image": f"{number}.jpg",
        "conversations": [
            {"from": "human", "value": "<image>\nWhat is it?"},
            {"from": "gpt", "value": "dog"},
        ],
        "kind": "name",
        "answer": "dog",
        "accepted": ["puppy"],
    } | changes


def written(folder: Path, items: Any) -> Path:
    file = folder / "test.json"
    file.write_text(json.dumps(items))
    for number in range(5):
        (folder / f"{number}.jpg").write_bytes(str(number).encode())
    return file


def test_a_question_is_read_without_the_place_of_its_picture(tmp_path: Path) -> None:
    (question,) = read_questions(written(tmp_path, [item(0)]))
    assert question.text == "What is it?"
    assert question.image == tmp_path / "0.jpg"
    assert (question.answer, question.accepted) == ("dog", ("puppy",))
    assert (question.row, question.pair, question.size) == ("", None, None)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "expected a list of questions"),
        ({"a": 1}, "expected a list of questions"),
        ([item(0), "what?"], "item 1: expected an object"),
        ([item(0), {"id": "x"}], "item 1: expected one question"),
        ([item(0, conversations=[])], "item 0: expected one question"),
        ([item(0), item(0)], "'q0' comes twice"),
    ],
)
def test_what_is_no_question_is_named(tmp_path: Path, items: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_questions(written(tmp_path, items))


def test_a_file_that_is_no_json_is_said(tmp_path: Path) -> None:
    file = tmp_path / "test.json"
    file.write_text("[{")
    with pytest.raises(ValueError, match="is not JSON"):
        read_questions(file)


def test_shuffled_questions_have_each_others_pictures(tmp_path: Path) -> None:
    questions = read_questions(written(tmp_path, [item(number) for number in range(5)]))
    shuffled = with_pictures(questions, "shuffled", seed=1)
    assert sorted(str(q.image) for q in shuffled) == sorted(str(q.image) for q in questions)
    assert all(a.image != b.image for a, b in zip(questions, shuffled, strict=True))
    assert [q.id for q in shuffled] == [q.id for q in questions]
    assert all(q.image is None for q in with_pictures(questions, "none"))
    assert with_pictures(questions, "own") == questions


def test_the_digest_sees_every_change_of_what_is_asked_and_shown(tmp_path: Path) -> None:
    before = questions_digest(read_questions(written(tmp_path, [item(0)])))
    assert questions_digest(read_questions(written(tmp_path, [item(0, accepted=[])]))) != before
    file = written(tmp_path, [item(0)])
    assert questions_digest(read_questions(file)) == before
    (tmp_path / "0.jpg").write_bytes(b"another picture")
    assert questions_digest(read_questions(file)) != before
