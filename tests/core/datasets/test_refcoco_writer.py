"""What is written is read back the same, by us and by what the refer API does with it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from mlcd.core.datasets.plain_pickle import read_plain_pickle
from mlcd.core.datasets.refcoco import read_refcoco
from mlcd.core.datasets.refcoco_layout import Layout, find_layout
from mlcd.core.datasets.refcoco_writer import (
    annotation_entry,
    image_entry,
    ref_entry,
    write_refcoco,
)

SHAPE = (9, 14)


def masks() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.random(SHAPE) < share for share in (0.2, 0.7)]


def write(root: Path, layout: Layout, meant: list[list[int]]) -> None:
    image = image_entry(1, "one.jpg", SHAPE)
    annotations = [annotation_entry(10 + i, 1, 3, mask) for i, mask in enumerate(masks())]
    refs = [
        ref_entry(
            layout,
            number,
            image=image,
            annotations=[annotations[i] for i in things],
            split="val",
            texts=[f"The {number}. dog, it's there", "dog"],
            first_sentence=2 * number,
            row="a row" if number else "",
        )
        for number, things in enumerate(meant)
    ]
    folder = root / "images/train2014"
    folder.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", SHAPE[::-1]).save(folder / "one.jpg")
    write_refcoco(
        root,
        layout,
        description="made",
        images=[image],
        annotations=annotations,
        categories=[{"id": 3, "name": "dog"}],
        refs=refs,
    )


def test_phrases_and_masks_come_back(tmp_path: Path) -> None:
    write(tmp_path, find_layout("refcoco"), [[0], [1]])
    phrases = read_refcoco(tmp_path).phrases
    assert [phrase.text for phrase in phrases[:2]] == ["the 0 dog it's there", "dog"]
    assert phrases[0].raw == "The 0. dog, it's there"
    assert [phrase.row for phrase in phrases] == ["", "", "a row", "a row"]
    for phrase, number in zip(phrases, (0, 0, 1, 1), strict=True):
        assert np.array_equal(phrase.mask(), masks()[number])


def test_grefcoco_takes_several_things_and_none(tmp_path: Path) -> None:
    write(tmp_path, find_layout("grefcoco"), [[0, 1], [], [1]])
    both, _, nothing, _, one, _ = read_refcoco(tmp_path, "grefcoco").phrases
    assert np.array_equal(both.mask(), masks()[0] | masks()[1])
    assert nothing.mask() is None
    assert np.array_equal(one.mask(), masks()[1])
    refs = json.loads((tmp_path / "grefcoco/grefs(unc).json").read_text())
    assert [ref["ann_id"] for ref in refs] == [[10, 11], [-1], [11]]


@pytest.mark.parametrize("meant", [[], [0, 1]])
def test_the_others_take_exactly_one_thing(tmp_path: Path, meant: list[int]) -> None:
    with pytest.raises(ValueError, match=f"one thing, got {len(meant)}; write them as grefcoco"):
        write(tmp_path, find_layout("refcoco+"), [meant])


def test_phrases_are_a_plain_pickle_that_python_2_reads_the_same_every_time(
    tmp_path: Path,
) -> None:
    for folder in ("a", "b"):
        write(tmp_path / folder, find_layout("refcoco"), [[0], [1]])
    path = tmp_path / "a/refcoco/refs(unc).p"
    assert path.read_bytes() == (tmp_path / "b/refcoco/refs(unc).p").read_bytes()
    assert path.read_bytes()[:2] == bytes([0x80, 2])
    assert read_plain_pickle(path) == pickle.loads(path.read_bytes())  # noqa: S301 - our own


def test_annotations_have_box_and_area_and_run_lengths_in_a_list(tmp_path: Path) -> None:
    mask = np.zeros(SHAPE, dtype=np.bool_)
    mask[2:5, 3:10] = True
    entry = annotation_entry(1, 1, 1, mask)
    assert entry["bbox"] == [3.0, 2.0, 7.0, 3.0]
    assert entry["area"] == 21
    assert isinstance(entry["segmentation"], list)
    assert annotation_entry(1, 1, 1, mask & False)["bbox"] == [0.0, 0.0, 0.0, 0.0]
