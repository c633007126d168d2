"""RoboVQA's records are read task by task, as the published texts are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcd.core.datasets.robovqa import (
    FAMILIES,
    build_record,
    family_of,
    parse_tasks,
    read_robovqa,
    rewrite_question,
)
from mlcd.core.datasets.tfrecord import write_records

TEXT = (
    "<task:affordance:discriminative:discrete:True>\nput packet on the table Q: possible right now?"
    " <PRED>A: <PRED:ANSWER><PRED:DISCRETE><PRED:BINARY>yes</PRED:BINARY></PRED:DISCRETE>"
    "</PRED:ANSWER>\n</PRED><TASK:future_prediction:freeform>\n"
    "Q: what is likely to happen next? <PRED>A: put packet on the table\n</PRED>"
)


def test_a_text_as_it_is_published() -> None:
    first, second = parse_tasks(TEXT, prefix="7", where="here")
    assert first.text == "put packet on the table Q: possible right now?"
    assert first.task == "affordance:discriminative:discrete:True"
    assert (first.id, first.answer, first.is_binary) == ("7-00", "yes", True)
    assert first.family == "discriminative affordance"
    assert second.text == "Q: what is likely to happen next?"
    assert (second.answer, second.is_binary) == ("put packet on the table", False)


def test_the_nine_families() -> None:
    published = {
        "planning:freeform": "planning",
        "planning_with_context20:freeform": "planning with context",
        "immediate_planning_with_context20:freeform": "immediate next step",
        "remaining5_planning_with_context20:freeform": "planning remaining steps",
        "success:discrete:False": "success",
        "affordance:discriminative:discrete:True": "discriminative affordance",
        "affordance:generative:positive:freeform": "generative affordance",
        "past_description:freeform": "past description",
        "future_prediction:freeform": "future prediction",
    }
    assert {task: family_of(task) for task in published} == published
    assert set(published.values()) == set(FAMILIES)


@pytest.mark.parametrize(
    ("terse", "sentence"),
    [
        ("put it down Q: satisfied?", "put it down . is it satisfied?"),
        ("put it down Q: possible right now?", "put it down . is it possible right now?"),
        ("goal Q: immediate next step?", "goal . what is the immediate next step?"),
        ("goal Q: next 5 steps?", "goal . what are the next 5 steps?"),
        ("Q: what action is possible right now?", "Q: what action is possible right now?"),
    ],
)
def test_terse_questions_become_sentences(terse: str, sentence: str) -> None:
    assert rewrite_question(terse) == sentence


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    tasks = [("success:discrete:True", "put it down Q: satisfied?", "yes")]
    write_records(tmp_path / "val-1", [build_record([b"c"], tasks)])
    write_records(tmp_path / "val-0", [build_record([b"a", b"b"], tasks)] * 2)
    (tmp_path / ".hidden").write_bytes(b"no tfrecord")
    videos = list(read_robovqa(tmp_path))
    assert [video.frames for video in videos] == [(b"a", b"b"), (b"a", b"b"), (b"c",)]
    assert [video.questions[0].id for video in videos] == ["000000-00", "000001-00", "000002-00"]
    assert next(read_robovqa(tmp_path / "val-1")).questions[0].answer == "yes"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no task at all", "no <task"),
        ("<task:juggling:freeform> Q: what? A: that", "'juggling:freeform' is of none of"),
        ("<task:planning:freeform> Q: what?", "expected an answer"),
    ],
)
def test_a_text_that_is_none_is_named(tmp_path: Path, text: str, message: str) -> None:
    from mlcd.core.datasets.sequence_example import build_sequence_example

    record = build_sequence_example({"images": [b"a"], "texts": [text.encode()]})
    write_records(tmp_path / "val-0", [record])
    with pytest.raises(ValueError, match=rf"val-0: record 0: .*{message}"):
        list(read_robovqa(tmp_path))


def test_other_records_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no file in it"):
        list(read_robovqa(tmp_path))
    write_records(tmp_path / "val-0", [b""])
    with pytest.raises(ValueError, match="val-0: record 0: expected the lists images and texts"):
        list(read_robovqa(tmp_path))
    with pytest.raises(ValueError, match="not there"):
        list(read_robovqa(tmp_path / "nowhere"))
