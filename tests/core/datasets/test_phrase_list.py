"""Phrases of one's own are read line by line; every bad line is named with its number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from tests.core.datasets.refcoco_by_hand import RUNS, SQUARE, Handmade

from mlcd.core.datasets.phrase_list import (
    MOST_SHOWN,
    check_phrase_lists,
    read_phrase_list,
    write_phrase_list,
)
from mlcd.core.datasets.refcoco import read_refcoco
from mlcd.core.masks import write_mask

GOOD: list[dict[str, Any]] = [
    {"image": "pictures/a.png", "phrase": "the left dog", "masks": ["a-1.png"]},
    {"image": "pictures/a.png", "phrase": "both dogs", "masks": ["a-1.png", [SQUARE], RUNS]},
    {"image": "pictures/a.png", "phrase": "the elephant", "masks": [], "id": "x", "row": "far"},
]


def drawn() -> np.ndarray:
    return np.random.default_rng(0).random((12, 20)) < 0.2


def write(root: Path, lines: list[Any], name: str = "train.jsonl") -> Path:
    (root / "pictures").mkdir(exist_ok=True)
    PIL.Image.new("RGB", (20, 12)).save(root / "pictures/a.png")
    write_mask(drawn(), root / "a-1.png")
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (root / name).write_text("\n".join(texts) + "\n")
    return root / name


def test_phrases_come_with_the_union_of_their_masks(tmp_path: Path) -> None:
    path = write(tmp_path, [GOOD[0], "", *GOOD[1:]])
    left, both, nothing = read_phrase_list(path).phrases
    assert np.array_equal(left.mask(), drawn())
    union = drawn()
    union[1:5, 2:8] = union[:, 1:3] = True
    assert np.array_equal(both.mask(), union)
    assert nothing.mask() is None
    assert not nothing.has_target
    assert [(p.id, p.row) for p in (left, both, nothing)] == [("1", ""), ("3", ""), ("x", "far")]
    assert left.image is both.image
    assert left.image.shape == (12, 20)


def test_a_split_of_a_folder_is_the_file_of_that_name(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    write(tmp_path, GOOD[:1], "val.jsonl")
    assert len(read_phrase_list(tmp_path).phrases) == 3
    assert len(read_phrase_list(tmp_path, "val").phrases) == 1
    with pytest.raises(ValueError, match=r"test\.jsonl: no such file of phrases"):
        read_phrase_list(tmp_path, "test")


def test_refcoco_comes_back_from_the_plain_layout_with_the_same_masks(tmp_path: Path) -> None:
    made = read_refcoco(Handmade().write(tmp_path / "refcoco"))
    count = write_phrase_list(made.phrases, tmp_path / "plain/val.jsonl")
    again = read_phrase_list(tmp_path / "plain", "val").phrases
    assert count == len(again) == len(made.phrases)
    for one, other in zip(made.phrases, again, strict=True):
        assert (one.id, one.text, one.row) == (other.id, other.text, other.row)
        assert one.image.path.samefile(other.image.path)
        assert np.array_equal(one.mask(), other.mask())


def test_mask_files_are_found_from_another_folder(tmp_path: Path) -> None:
    made = read_phrase_list(write(tmp_path, GOOD))
    write_phrase_list(made.phrases, tmp_path / "deep/er/copy.jsonl")
    (left, *_) = read_phrase_list(tmp_path / "deep/er/copy.jsonl").phrases
    assert np.array_equal(left.mask(), drawn())


BAD: list[tuple[Any, str]] = [
    ('{"image": ', "line 2: no JSON"),
    ("[1]", "line 2: expected an object, got list"),
    ({"image": "pictures/a.png"}, "line 2: phrase, masks missing; there are image"),
    (GOOD[0] | {"phrase": "  "}, "line 2: phrase: expected a text, got '  '"),
    (GOOD[0] | {"phrase": 3}, "line 2: phrase: expected a text, got 3"),
    (GOOD[0] | {"masks": "a-1.png"}, "line 2: masks: expected a list"),
    (GOOD[0] | {"masks": [3]}, "line 2: masks: expected file names, polygons or run lengths"),
    (GOOD[0] | {"masks": ["b.png"]}, "b.png: no such mask"),
    (GOOD[0] | {"image": "b.png"}, "b.png: no such file"),
    (GOOD[0] | {"id": "1"}, "line 2: id '1' is given twice"),
]


@pytest.mark.parametrize(("line", "message"), BAD)
def test_a_bad_line_is_named_with_its_number(tmp_path: Path, line: Any, message: str) -> None:
    path = write(tmp_path, [GOOD[0], line, *GOOD[1:]])
    with pytest.raises(ValueError, match=r"train\.jsonl: line 2: ") as error:
        read_phrase_list(path)
    assert message in str(error.value)
    (checked,) = check_phrase_lists(path)
    assert message in checked.problems[0]
    assert checked.num_problems == 1
    assert checked.num_phrases == 3


def test_the_checker_reads_every_mask_which_reading_does_not(tmp_path: Path) -> None:
    write_mask(np.ones((20, 12), dtype=np.bool_), tmp_path / "turned.png")
    write_mask(np.zeros((12, 20), dtype=np.bool_), tmp_path / "empty.png")
    lines = [
        GOOD[0] | {"masks": ["turned.png"]},
        GOOD[0] | {"masks": ["empty.png"]},
        GOOD[0] | {"masks": [[[1, 1, 5, 5]]]},
        GOOD[0] | {"masks": [SQUARE]},
        GOOD[0],
    ]
    path = write(tmp_path, lines)
    assert len(read_phrase_list(path).phrases) == 5
    (checked,) = check_phrase_lists(path)
    assert not checked.is_right
    for problem, message in zip(
        checked.problems,
        (
            "a mask of 12 x 20 pixels for a picture of 20 x 12",
            'its masks are empty; a phrase whose thing is not there has "masks": []',
            "a polygon of 2 points encloses nothing",
            "got one polygon; put it in []",
        ),
        strict=True,
    ):
        assert message in problem


def test_all_files_of_a_folder_are_checked_and_many_problems_counted(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    write(tmp_path, ["{"] * 25, "val.jsonl")
    train, val = check_phrase_lists(tmp_path)
    assert train.is_right
    assert (train.num_phrases, train.num_images, train.num_absent) == (3, 1, 1)
    assert val.num_problems == 25
    assert len(val.problems) == MOST_SHOWN


def test_files_without_a_phrase_and_folders_without_a_file_are_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a \.jsonl file, or a folder with train\.jsonl"):
        check_phrase_lists(tmp_path)
    path = write(tmp_path, [])
    assert check_phrase_lists(path)[0].problems == [f"{path}: no phrases in it"]
    with pytest.raises(ValueError, match="no phrases in it"):
        read_phrase_list(path)


def test_the_digest_changes_with_a_mask_file(tmp_path: Path) -> None:
    first = read_phrase_list(write(tmp_path, GOOD)).digest
    assert read_phrase_list(write(tmp_path, GOOD)).digest == first
    (tmp_path / "a-1.png").write_bytes((tmp_path / "a-1.png").read_bytes() + b"0")
    assert read_phrase_list(tmp_path).digest != first
