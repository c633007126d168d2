"""A category of COCO means all of its kind in a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.core.datasets.refcoco_by_hand import BESIDE, RUNS, SQUARE, Handmade, annotation

from mlcd.core.datasets.coco_phrases import read_coco_phrases

PICTURES = "images/mscoco/images/train2014"


def write(root: Path, **changes: Any) -> Path:
    made = Handmade()
    made.annotations = [
        annotation(1, 1, [SQUARE]),
        annotation(2, 1, [BESIDE], category_id=2),
        annotation(3, 1, RUNS, iscrowd=1),
        annotation(4, 2, [SQUARE]),
    ]
    path = made.write(root) / "refcoco/instances.json"
    categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    document = json.loads(path.read_text()) | {"categories": categories} | changes
    path.write_text(json.dumps(document))
    return path


def test_each_category_of_a_picture_is_a_phrase_that_means_all_of_it(tmp_path: Path) -> None:
    phrases = read_coco_phrases(write(tmp_path), tmp_path / PICTURES).phrases
    assert [(p.text, p.image.id) for p in phrases] == [("dog", "1"), ("cat", "1"), ("dog", "2")]
    sums = [phrase.mask().sum() for phrase in phrases]  # type: ignore[union-attr]
    assert sums == [24 + 24 - 4, 36, 24]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"categories": None}, "expected a list of objects under 'categories'"),
        ({"images": [3]}, "expected a list of objects under 'images'"),
        ({"categories": [{"id": 1}]}, "categories: entry 0: name missing"),
        ({"categories": [{"id": 2, "name": "cat"}]}, "annotation 1 is about picture 1 and categ"),
        ({"annotations": [annotation(9, 5, RUNS)]}, "annotation 9 is about picture 5"),
    ],
)
def test_what_is_no_such_file_is_said(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read_coco_phrases(write(tmp_path, **changes), tmp_path / PICTURES)


def test_missing_files_are_named(tmp_path: Path) -> None:
    path = write(tmp_path)
    with pytest.raises(ValueError, match=r"2 of 2 pictures are missing, first made_0+1\.jpg"):
        read_coco_phrases(path, tmp_path)
    with pytest.raises(ValueError, match=r"none\.json: no such file"):
        read_coco_phrases(tmp_path / "none.json", tmp_path)
    path.write_text("{")
    with pytest.raises(ValueError, match="no JSON, or cut short"):
        read_coco_phrases(path, tmp_path)
