"""`mlcd data check` and `convert` say what they found and wrote, and end as scripts need it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.core.datasets.refcoco_by_hand import Handmade

from mlcd.cli.main import main


def test_a_whole_set_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = Handmade().write(tmp_path)
    assert main(["data", "check", "refcoco", str(root)]) == 0
    said = capsys.readouterr().out
    assert "refcoco (unc)       right" in said
    assert "  val     2 refs, 1 images, 3 phrases" in said
    assert "refcoco+ (unc)      not there" in said


def test_what_is_wrong_is_listed_and_the_exit_code_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Handmade(prefix="COCO_train2014_").write(tmp_path)
    assert main(["data", "check", "refcoco", str(root)]) == 1
    said = capsys.readouterr().out
    assert "refcoco (unc)       wrong" in said
    assert "wrong: testA: 1 refs, 1 images, 1 phrases; published were 1,975 refs" in said
    assert main(["data", "check", "refcoco", str(root), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["is_right"] is False
    first = document["sets"][0]
    assert (first["name"], first["num_problems"]) == ("refcoco", 4)
    assert first["splits"]["val"]["published"]["phrases"] == 10_834


def test_phrases_without_their_masks_are_wrong_and_no_set_at_all_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (Handmade().write(tmp_path) / "refcoco/instances.json").unlink()
    assert main(["data", "check", "refcoco", str(tmp_path)]) == 1
    assert "  wrong: missing: refcoco/instances.json" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    assert main(["data", "check", "refcoco", str(tmp_path / "empty")]) == 1
    assert "none of the sets is there" in capsys.readouterr().err
    assert main(["data", "check", "refcoco", str(tmp_path / "none")]) == 1
    assert "expected a folder with refcoco" in capsys.readouterr().err


def test_a_set_is_converted_and_the_plain_one_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, plain = Handmade().write(tmp_path / "set"), tmp_path / "plain"
    assert main(["data", "convert", "refcoco", str(root), "-o", str(plain)]) == 0
    said = capsys.readouterr().out
    assert said == "val.jsonl: 3 phrases\ntestA.jsonl: 1 phrases\ntestB.jsonl: 1 phrases\n"
    assert main(["data", "check", "referring", str(plain)]) == 0
    assert "val.jsonl: right; 3 phrases about 1 pictures, 0 mean" in capsys.readouterr().out
    with (plain / "val.jsonl").open("a") as file:
        file.write("{\n")
    assert main(["data", "check", "referring", str(plain)]) == 1
    assert "line 4: no JSON" in capsys.readouterr().out
    assert main(["data", "check", "referring", str(plain), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert [one["is_right"] for one in document["files"]] == [True, True, False]


def test_cocos_instances_are_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Handmade().write(tmp_path) / "refcoco/instances.json"
    document = json.loads(path.read_text()) | {"categories": [{"id": 1, "name": "dog"}]}
    path.write_text(json.dumps(document))
    images = tmp_path / "images/mscoco/images/train2014"
    command = ["data", "convert", "coco", str(path), "--images", str(images)]
    assert main([*command, "-o", str(tmp_path / "plain")]) == 0
    assert capsys.readouterr().out == "train.jsonl: 2 phrases\n"


def test_playrooms_refcoco_is_written_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--train", "2", "--val", "1", "--test", "1", "--size", "48", "--phrases", "2"]
    command = ["data", "playroom", "refcoco", "-o", str(tmp_path / "set"), *sizes]
    assert main(command) == 0
    assert "refcocog  test            2" in capsys.readouterr().out
    assert main(["data", "check", "refcoco", str(tmp_path / "set")]) == 0
    capsys.readouterr()
    assert main(command) == 1
    assert "holds sets already" in capsys.readouterr().err
