"""What the playroom writes as SOP is what the reader of the real set reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcd.core.datasets.sop import read_sop
from mlcd.core.images import read_image
from mlcd.playroom.sop import FOLDER, write_sop
from mlcd.playroom.things import scene_things

THINGS = scene_things()[:10]


def test_the_reader_of_the_real_set_reads_it_back(tmp_path: Path) -> None:
    counts = write_sop(tmp_path, pictures_per_thing=3, size=32, things=THINGS)
    for split in ("train", "test"):
        read = read_sop(tmp_path, split)  # type: ignore[arg-type]
        assert read.queries is None
        assert len(read.gallery) == counts.pictures[split] == 3 * counts.classes[split]
        assert read_image(read.gallery[0].source).shape == (32, 32, 3)


def test_no_class_is_in_both_splits_and_ids_go_on_counting(tmp_path: Path) -> None:
    write_sop(tmp_path, pictures_per_thing=2, size=16, things=THINGS)
    lists = {
        name: (tmp_path / FOLDER / f"Ebay_{name}.txt").read_text().splitlines()
        for name in ("train", "test", "info")
    }
    assert {lines[0] for lines in lists.values()} == {"image_id class_id super_class_id path"}
    assert lists["info"][1:] == lists["train"][1:] + lists["test"][1:]
    rows = [line.split() for line in lists["info"][1:]]
    assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1))
    classes = [{line.split()[1] for line in lists[name][1:]} for name in ("train", "test")]
    assert not classes[0] & classes[1]


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_sop(tmp_path / name, pictures_per_thing=2, size=16, seed=5, things=THINGS[:3])
    files = sorted(path for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert files
    for path in files:
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_a_written_set_is_not_overwritten_and_an_interrupted_one_is(tmp_path: Path) -> None:
    write_sop(tmp_path, pictures_per_thing=2, size=16, things=THINGS[:2])
    with pytest.raises(ValueError, match="already there"):
        write_sop(tmp_path, pictures_per_thing=2, size=16, things=THINGS[:2])
    (tmp_path / FOLDER / "Ebay_info.txt").unlink()
    write_sop(tmp_path, pictures_per_thing=2, size=16, things=THINGS[:2])


def test_a_class_of_one_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        write_sop(tmp_path, pictures_per_thing=1)
