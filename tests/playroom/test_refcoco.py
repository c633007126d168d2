"""The playroom's RefCOCO sets are read as the published ones are, and are the same every time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mlcd.core.datasets.refcoco import read_refcoco
from mlcd.core.datasets.refcoco_check import check_refcoco
from mlcd.playroom.refcoco import ABOUT, RefcocoSizes, write_playroom_refcoco
from mlcd.playroom.referring import TASKS, Task, referring_picture

SIZES = RefcocoSizes(pictures={"train": 4, "val": 1, "testA": 2, "testB": 2}, size=64)


def everything(root: Path) -> dict[str, bytes]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refcoco")
    write_playroom_refcoco(folder, SIZES)
    return folder


@pytest.mark.parametrize("task", TASKS)
def test_phrases_and_masks_come_back_as_they_were_made(root: Path, task: Task) -> None:
    made = {
        (index, phrase.text.lower().replace(",", "")): np.any(
            [picture.things[target].mask for target in phrase.targets], axis=0
        )
        if phrase.targets
        else None
        for index in range(4)
        for picture in [referring_picture(0, index, task=task, part="train", size=64)]
        for phrase in picture.phrases
    }
    phrases = read_refcoco(root, task, "train").phrases
    assert len(phrases) == len(made)
    for phrase in phrases:
        mask = made[int(phrase.image.path.stem[-7:]), phrase.text]
        assert phrase.has_target == (mask is not None)
        assert mask is None or (phrase.mask() == mask).all()


def test_the_checker_of_the_published_sets_finds_nothing_wrong(root: Path) -> None:
    checked = [one for one in check_refcoco(root) if one.is_there]
    assert [one.name for one in checked] == list(TASKS)
    assert all(one.is_right for one in checked)


def test_counts_are_those_of_the_files(root: Path) -> None:
    counts = json.loads((root / ABOUT).read_text())["counts"]
    for task, splits in counts.items():
        for split, count in splits.items():
            phrases = read_refcoco(root, task, split).phrases
            assert count["phrases"] == len(phrases)
            assert count["images"] == len({phrase.image for phrase in phrases})


def test_pictures_are_shared_and_none_is_in_two_parts(root: Path) -> None:
    assert len(list((root / "images").rglob("*.jpg"))) == 9
    images = {
        split: {phrase.image.id for phrase in read_refcoco(root, "refcoco", split).phrases}
        for split in ("train", "val", "testA", "testB")
    }
    assert sum(map(len, images.values())) == len(set.union(*images.values())) == 9


def test_refcocog_has_one_test_with_rows(root: Path) -> None:
    rows = {phrase.row for phrase in read_refcoco(root, "refcocog", "test").phrases}
    assert "new scenes" in rows
    assert len(rows) == 3


def test_several_processes_write_the_same_files_as_one(root: Path, tmp_path: Path) -> None:
    write_playroom_refcoco(tmp_path, SIZES, workers=2)
    assert everything(tmp_path) == everything(root)


def test_what_was_interrupted_is_written_anew_and_what_is_whole_is_left(
    root: Path, tmp_path: Path
) -> None:
    (tmp_path / "refcoco").mkdir()
    (tmp_path / "refcoco/instances.json").write_text("{")
    write_playroom_refcoco(tmp_path, SIZES)
    assert everything(tmp_path) == everything(root)
    with pytest.raises(ValueError, match="holds sets already"):
        write_playroom_refcoco(tmp_path, SIZES)


def test_parts_without_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one picture of each part"):
        RefcocoSizes(pictures={"train": 0})
