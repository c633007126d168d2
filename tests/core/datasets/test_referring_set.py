"""Phrases give the union of their masks, whatever these are stored as."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.core.datasets.refcoco_by_hand import RUNS, SQUARE

from mlcd.core.datasets.referring_set import MaskSource, Phrase, ReferredImage, ReferringSet
from mlcd.core.masks import write_mask
from mlcd.core.rle import decode_rle

IMAGE = ReferredImage("1", Path("a.jpg"), (12, 20))
OTHER = ReferredImage("2", Path("b.jpg"), (12, 20))


def phrase(
    *masks: MaskSource, image: ReferredImage = IMAGE, number: int = 0, has_target: bool = True
) -> Phrase:
    return Phrase(str(number), image, "a dog", masks, has_target)


def test_the_mask_is_the_union_of_files_polygons_and_run_lengths(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0).random((12, 20)) < 0.2
    write_mask(drawn, tmp_path / "mask.png")
    polygon = np.zeros((12, 20), dtype=np.bool_)
    polygon[1:5, 2:8] = True
    mask = phrase(tmp_path / "mask.png", [SQUARE], RUNS).mask()
    assert np.array_equal(mask, drawn | polygon | decode_rle(RUNS))


def test_a_mask_file_of_another_size_than_its_picture_is_refused(tmp_path: Path) -> None:
    write_mask(np.ones((20, 12), dtype=np.bool_), tmp_path / "mask.png")
    with pytest.raises(
        ValueError,
        match=r"phrase 0 \('a dog'\): .*mask\.png: a mask of 12 x 20 pixels for a picture of 20 x",
    ):
        phrase(tmp_path / "mask.png").mask()


def test_run_lengths_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"phrase 0 .*4 x 3 pixels for a picture of 20 x 12"):
        phrase({"size": [3, 4], "counts": [12]}).mask()


def test_a_mask_that_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"phrase 0 .*mask\.png"):
        phrase(tmp_path / "mask.png").runs()


def test_without_a_target_there_is_no_mask_and_with_an_empty_one_an_empty_one() -> None:
    assert phrase(has_target=False).mask() is None
    empty = phrase([]).mask()
    assert empty is not None
    assert not empty.any()


def test_phrases_are_grouped_by_picture_in_their_order() -> None:
    phrases = [
        phrase(RUNS, image=image, number=number)
        for number, image in enumerate((IMAGE, OTHER, IMAGE))
    ]
    groups = ReferringSet("set", phrases, "digest").by_image()
    assert groups == [(IMAGE, [phrases[0], phrases[2]]), (OTHER, [phrases[1]])]


def test_sets_without_phrases_or_with_one_twice_are_refused() -> None:
    with pytest.raises(ValueError, match="set: no phrases in it"):
        ReferringSet("set", [], "digest")
    with pytest.raises(ValueError, match="set: two phrases have the same id"):
        ReferringSet("set", [phrase(RUNS), phrase(RUNS)], "digest")
