"""Everything that is missing or wrong in a folder is found in one go, and a whole one is right."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from tests.core.datasets.refcoco_by_hand import SQUARE, Handmade, annotation, ref

from mlcd.core.datasets.refcoco_check import MOST_SHOWN, CheckedSet, check_refcoco
from mlcd.core.datasets.refcoco_layout import LAYOUTS


def checked(root: Path, **options: Any) -> CheckedSet:
    return next(one for one in check_refcoco(root, **options) if one.name == "refcoco")


def test_a_whole_set_is_right_and_the_others_are_said_to_be_missing(tmp_path: Path) -> None:
    found = check_refcoco(Handmade().write(tmp_path))
    assert [(one.name, one.by) for one in found] == [(one.name, one.by) for one in LAYOUTS]
    assert [one.is_there for one in found] == [True] + [False] * 5
    assert found[0].is_right
    assert found[0].notes == ["another set than the published one: its counts were not compared"]
    assert {s.split: s.counts.phrases for s in found[0].splits} == {
        "train": 0,
        "val": 3,
        "testA": 1,
        "testB": 1,
    }
    assert found[1].missing == ["refcoco/refs(google).p"]
    assert found[2].missing == ["refcoco+/refs(unc).p", "refcoco+/instances.json"]


def test_other_counts_than_the_published_ones_are_problems(tmp_path: Path) -> None:
    one = checked(Handmade(prefix="COCO_train2014_").write(tmp_path))
    assert one.num_problems == 4
    assert one.problems[1] == (
        "val: 2 refs, 1 images, 3 phrases; published were 3,811 refs, 1,500 images, 10,834 phrases"
    )
    assert not one.is_right


def test_everything_that_is_wrong_is_found(tmp_path: Path) -> None:
    made = Handmade()
    made.annotations += [annotation(13, 1, [[1.0, 1.0, 5.0, 5.0]]), annotation(14, 1, "?")]
    made.refs += [
        ref(301, 1, 13, "val", ["a line"]),
        ref(302, 1, 14, "val", ["nonsense"]),
        ref(303, 1, 99, "val", ["nothing"]),
        ref(304, 7, 11, "val", ["elsewhere"]),
    ]
    root = made.write(tmp_path)
    picture = root / "images/mscoco/images/train2014/made_000000000002.jpg"
    PIL.Image.new("RGB", (10, 6)).save(picture)
    one = checked(root)
    text = "\n".join(one.problems)
    for expected in (
        "annotation 13: segmentation: a polygon of 2 points encloses nothing",
        "annotation 14: segmentation: expected polygons or run lengths",
        "ref 303: annotation 99 is not in instances.json",
        "no picture 7, which a ref is about",
        "made_000000000002.jpg: 10 x 6 pixels, instances.json says 20 x 12",
    ):
        assert expected in text
    assert one.num_problems == len(one.problems) == 5


def test_missing_pictures_and_a_missing_folder_of_them_are_said(tmp_path: Path) -> None:
    root = Handmade().write(tmp_path)
    picture = root / "images/mscoco/images/train2014/made_000000000001.jpg"
    picture.unlink()
    (problem,) = checked(root).problems
    assert str(picture) in problem
    (root / "images").rename(root / "elsewhere")
    assert any("no folder of pictures" in problem for problem in checked(root).problems)
    found = checked(root, images=root / "elsewhere/mscoco/images/train2014")
    assert found.num_problems == 1


def test_many_problems_are_counted_and_few_are_shown(tmp_path: Path) -> None:
    made = Handmade()
    made.refs += [ref(number, 1, 99, "val", ["a"]) for number in range(500, 530)]
    one = checked(made.write(tmp_path))
    assert one.num_problems == 30
    assert len(one.problems) == MOST_SHOWN


def test_odd_things_that_do_no_harm_are_notes(tmp_path: Path) -> None:
    made = Handmade()
    made.annotations[0]["segmentation"] = [SQUARE, [1.0, 1.0, 2.0, 2.0]]
    made.refs[0]["sentences"][1]["sent"] = " "
    one = checked(made.write(tmp_path))
    assert one.is_right
    assert one.notes[1:] == [
        "1 phrases without a word",
        "1 polygons of fewer than three points, which enclose nothing",
    ]


def test_a_malicious_or_damaged_file_is_a_problem_of_its_set_alone(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch '{tmp_path / 'harm'}'",)

    root = Handmade(name="refcoco+").write(Handmade().write(tmp_path))
    (root / "refcoco/refs(unc).p").write_bytes(pickle.dumps(Harm()))
    found = {(one.name, one.by): one for one in check_refcoco(root)}
    assert "refused: it asks for" in found["refcoco", "unc"].problems[0]
    assert found["refcoco+", "unc"].is_right
    assert not (tmp_path / "harm").exists()


def test_progress_is_told_and_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    check_refcoco(tmp_path, on_set=lambda done, total: told.append((done, total)))
    assert told == [(done, len(LAYOUTS)) for done in range(1, len(LAYOUTS) + 1)]
    with pytest.raises(ValueError, match="expected a folder with refcoco"):
        check_refcoco(tmp_path / "nowhere")
