"""The files of conversations: LLaVA's layout, the same for the same settings, and hard to guess."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mlcd.core.answers import mean_over_kinds
from mlcd.playroom.blind import blind_accuracy, content_words
from mlcd.playroom.conversation_files import ABOUT, ConversationSet, write_conversations
from mlcd.playroom.questions import KINDS

SETTINGS = ConversationSet(count=6, captions=3, per_kind=2, size=48)


def everything(root: Path) -> dict[str, bytes]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("conversations")
    write_conversations(folder, SETTINGS)
    return folder


def test_items_are_llavas_with_their_pictures_beside(root: Path) -> None:
    for name, count in {"captions": 3, "train": 6, "testA": 18, "testB": 36}.items():
        items = json.loads((root / f"{name}.json").read_text())
        assert len(items) == len({item["id"] for item in items}) == count
        for item in items:
            assert min(Image.open(root / item["image"]).size) == 48
            turns = item["conversations"]
            assert [turn["from"] for turn in turns] == ["human", "gpt"] * (len(turns) // 2)
            assert turns[0]["value"].startswith("<image>\n")
            assert sum(turn["value"].count("<image>") for turn in turns) == 1
            assert all(turn["value"].strip() for turn in turns)


def test_training_has_several_turns_and_tests_have_one(root: Path) -> None:
    train = json.loads((root / "train.json").read_text())
    assert all(len(item["conversations"]) >= 6 for item in train)
    assert all(len(item["kinds"]) == len(item["conversations"]) // 2 for item in train)
    for item in json.loads((root / "testB.json").read_text()):
        assert len(item["conversations"]) == 2
        assert item["conversations"][1]["value"] == item["answer"]
        assert item["kind"] in KINDS
        assert item["row"].startswith("new style")


def test_several_processes_write_the_same_files_as_one(root: Path, tmp_path: Path) -> None:
    write_conversations(tmp_path, SETTINGS, workers=2)
    assert everything(tmp_path) == everything(root)


def test_a_finished_set_is_left_alone_and_an_interrupted_one_written_anew(
    root: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="holds a set already"):
        write_conversations(root, SETTINGS)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "0000000.jpg").write_bytes(b"half a pict")
    write_conversations(tmp_path, SETTINGS)
    assert everything(tmp_path) == everything(root)
    assert (root / ABOUT).exists()


def test_content_words_are_those_that_no_wording_adds() -> None:
    assert content_words("Tell me where the red dog is.") == ("dog", "red")
    assert content_words("What could I use to sit at a table?") == content_words(
        "I want to sit at a table. Which thing would help me?"
    )


def item(kind: str, question: str, answer: str, pair: str | None = None) -> dict[str, Any]:
    return {
        "conversations": [{"value": question}, {"value": answer}],
        "kind": kind, "sort": "", "kinds": [kind], "sorts": [""],
        "answer": answer, "accepted": [], "pair": pair,
    }  # fmt: skip


def test_the_baselines_answer_with_what_is_most_frequent() -> None:
    training = [
        item("colour", "What colour is the dog?", "red"),
        item("colour", "What colour is the dog?", "red"),
        item("colour", "What colour is the cat?", "blue"),
        item("yes_no", "Is there a dog?", "yes"),
    ]
    tests = [
        item("colour", "Which colour has the cat?", "blue"),
        item("colour", "Which colour has the dog?", "green"),
        item("colour", "Which colour has the owl?", "red"),
        item("yes_no", "A dog?", "yes", pair="a"),
        item("yes_no", "A dog?", "no", pair="a"),
    ]
    blind = blind_accuracy(training, tests)
    assert blind["words"] == {"colour": pytest.approx(2 / 3), "yes_no": 0.0}
    assert blind["constant"] == {"colour": pytest.approx(1 / 3), "yes_no": 0.0}


@pytest.mark.slow
def test_no_kind_is_answered_blind_more_often_than_35_percent(tmp_path: Path) -> None:
    settings = ConversationSet(count=1000, captions=0, per_kind=100, size=48)
    written = write_conversations(tmp_path, settings, workers=2)
    assert len(written.blind) == 3
    for baselines in written.blind.values():
        for accuracies in baselines.values():
            assert set(accuracies) == set(KINDS)
            assert max(accuracies.values()) <= 0.35
            assert mean_over_kinds(accuracies) <= 0.25
