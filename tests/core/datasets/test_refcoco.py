"""Splits of the RefCOCO sets as phrases with masks, by the rules that are stated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.core.datasets.refcoco_by_hand import BESIDE, RUNS, SQUARE, Handmade, annotation, ref

from mlcd.core.datasets.refcoco import read_refcoco
from mlcd.core.datasets.refcoco_layout import Counts, find_layout


def test_each_sentence_is_a_phrase_in_the_order_of_the_file(tmp_path: Path) -> None:
    phrases = read_refcoco(Handmade().write(tmp_path)).phrases
    assert [phrase.text for phrase in phrases] == ["left dog", "the one on the left", "right dog"]
    assert phrases[0].raw == "Left dog!"
    assert phrases[0].id == "refcoco-unc/101/1010"
    assert phrases[0].image is phrases[2].image
    assert phrases[0].image.shape == (12, 20)


def test_the_name_of_the_picture_is_not_taken_from_the_ref(tmp_path: Path) -> None:
    phrase = read_refcoco(Handmade().write(tmp_path)).phrases[0]
    assert phrase.image.path.name == "made_000000000001.jpg"
    assert phrase.image.path.is_file()


def test_masks_are_the_union_of_their_polygons(tmp_path: Path) -> None:
    phrases = read_refcoco(Handmade().write(tmp_path)).phrases
    expected = np.zeros((12, 20), dtype=np.bool_)
    expected[1:5, 2:8] = expected[3:9, 6:12] = True
    assert np.array_equal(phrases[0].mask(), expected)
    assert len(phrases[0].runs()) == 2
    assert np.flatnonzero(phrases[2].mask().any(0)).tolist() == [1, 2]  # type: ignore[union-attr]


def test_a_ref_of_two_tests_is_in_both(tmp_path: Path) -> None:
    root = Handmade().write(tmp_path)
    for split in ("testA", "testB"):
        assert [phrase.text for phrase in read_refcoco(root, split=split).phrases] == ["cat"]


def test_another_set_says_its_counts_in_its_name(tmp_path: Path) -> None:
    made = read_refcoco(Handmade().write(tmp_path))
    assert made.name == "refcoco (unc) val, another set (2 refs, 1 images, 3 phrases)"


def test_the_counts_of_published_pictures_are_asserted(tmp_path: Path) -> None:
    root = Handmade(prefix="COCO_train2014_").write(tmp_path)
    with pytest.raises(
        ValueError,
        match=r"refcoco \(unc\) val: 2 refs, 1 images, 3 phrases; published were 3,811 refs, "
        r"1,500 images, 10,834 phrases",
    ):
        read_refcoco(root)
    allowed = read_refcoco(root, allow_other_counts=True)
    assert allowed.name.startswith("refcoco (unc) val, not as published (2 refs")


def test_the_right_counts_of_published_pictures_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(find_layout("refcoco").splits, "val", Counts(2, 1, 3))  # type: ignore[arg-type]
    made = read_refcoco(Handmade(prefix="COCO_train2014_").write(tmp_path))
    assert made.name == "refcoco (unc) val"


def test_grefcoco_means_several_things_or_none(tmp_path: Path) -> None:
    made = Handmade(name="grefcoco")
    made.refs = [
        ref(1, 1, [11, 12], "val", ["both dogs"]),
        ref(2, 1, [-1], "val", ["the elephant"]),
        ref(3, 2, [21], "val", ["cat"]),
    ]
    both, nothing, one = read_refcoco(made.write(tmp_path), "grefcoco").phrases
    assert both.has_target
    assert both.mask().sum() == 56 + 24 - 4  # type: ignore[union-attr]
    assert not nothing.has_target
    assert nothing.mask() is None
    assert nothing.runs() == []
    assert one.mask().sum() == 24  # type: ignore[union-attr]


def test_of_several_things_crowds_are_left_out(tmp_path: Path) -> None:
    made = Handmade(name="grefcoco")
    made.annotations = [annotation(11, 1, [SQUARE]), annotation(12, 1, RUNS, iscrowd=1)]
    made.refs = [ref(1, 1, [11, 12], "val", ["both"])]
    (phrase,) = read_refcoco(made.write(tmp_path), "grefcoco").phrases
    assert phrase.mask().sum() == 24  # type: ignore[union-attr]
    assert phrase.mask()[1:5, 2:8].all()  # type: ignore[index]


def test_all_missing_pictures_are_counted(tmp_path: Path) -> None:
    made = Handmade()
    made.refs[1]["image_id"] = 2
    made.refs[1]["ann_id"] = 21
    root = made.write(tmp_path)
    for path in (root / "images").rglob("*.jpg"):
        path.unlink()
    with pytest.raises(ValueError, match=r"2 of 2 pictures are missing, first made_0+1\.jpg"):
        read_refcoco(root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ann_id": 99}, "ref 101: annotation 99 is not in instances.json"),
        ({"ann_id": 21}, "ref 101 is about picture 1, its annotation 21 about picture 2"),
        ({"image_id": 9}, "no picture 9, which a ref is about"),
        ({"image_id": [1]}, r"entry 0: image_id: expected a whole number, got \[1\]"),
        ({"ann_id": [[11]]}, r"entry 0: ann_id: expected a number or several, got \[\[11\]\]"),
        ({"ann_id": []}, "entry 0: ann_id: expected a number or several"),
    ],
)
def test_refs_whose_parts_do_not_belong_together_are_named(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    made = Handmade()
    made.refs[0] |= change
    with pytest.raises(ValueError, match=message):
        read_refcoco(made.write(tmp_path))


def test_splits_that_are_not_there_are_refused(tmp_path: Path) -> None:
    root = Handmade().write(tmp_path)
    with pytest.raises(ValueError, match=r"no split 'test': expected one of train, val, testA"):
        read_refcoco(root, split="test")
    with pytest.raises(ValueError, match="no refs of the split train"):
        read_refcoco(root, split="train")


def test_the_digest_changes_with_phrases_masks_and_pictures_and_with_nothing_else(
    tmp_path: Path,
) -> None:
    first = read_refcoco(Handmade().write(tmp_path / "a")).digest
    assert read_refcoco(Handmade().write(tmp_path / "b")).digest == first
    other_text, other_mask = Handmade(), Handmade()
    other_text.refs[0]["sentences"][0]["sent"] = "right dog"
    other_mask.annotations[0]["segmentation"] = [BESIDE]
    for number, made in enumerate((other_text, other_mask)):
        assert read_refcoco(made.write(tmp_path / str(number))).digest != first
    picture = read_refcoco(tmp_path / "b").phrases[0].image.path
    picture.write_bytes(picture.read_bytes() + b"0")
    assert read_refcoco(tmp_path / "b").digest != first
