"""A folder, a list and shards are the same to whoever reads pictures by number."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from mlcd.core.images import read_image
from mlcd.core.pictures import PathPictures, open_pictures
from mlcd.core.shards import ShardWriter


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        path = tmp_path / "pictures" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("RGB", (4, 4), (number, 0, 0)).save(path)
    return tmp_path / "pictures"


def colours(source: str | Path) -> list[int]:
    pictures = open_pictures(source)
    return [int(read_image(pictures.read(index))[0, 0, 0]) for index in range(len(pictures))]


def test_all_kinds_of_sources_give_the_same_pictures(folder: Path, tmp_path: Path) -> None:
    names = ["a/0.png", "a/2.png", "b/1.png", "b/3.png"]
    listing = tmp_path / "list.txt"
    listing.write_text("\n".join(f"pictures/{name}" for name in names) + "\n\n")
    with ShardWriter(tmp_path / "shards", 3) as writer:
        for name in names:
            writer.write((folder / name).read_bytes(), suffix="png")
    shards = tmp_path / "shards"
    assert colours(folder) == colours(listing) == colours(shards) == [0, 2, 1, 3]
    assert colours(shards / "00001.tar") == [3]
    assert [open_pictures(folder).name(index) for index in range(4)] == names
    assert open_pictures(listing).name(1) == "pictures/a/2.png"


def test_absolute_paths_in_a_list_are_taken_as_they_are(folder: Path, tmp_path: Path) -> None:
    listing = tmp_path / "elsewhere" / "list.txt"
    listing.parent.mkdir()
    listing.write_text(f"{folder / 'b' / '1.png'}\n../pictures/a/0.png\n")
    assert colours(listing) == [1, 0]


@pytest.mark.parametrize("kind", ["folder", "list"])
def test_a_digest_tells_changed_pictures_from_unchanged_ones(
    folder: Path, tmp_path: Path, kind: str
) -> None:
    listing = tmp_path / "list.txt"
    listing.write_text("pictures/a/0.png\npictures/b/1.png\n")
    source = folder if kind == "folder" else listing
    digest = open_pictures(source).digest()
    assert open_pictures(source).digest() == digest
    os.utime(folder / "a" / "0.png", ns=(0, 0))
    assert open_pictures(source).digest() != digest


def test_what_is_no_source_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is nothing of that name"):
        open_pictures(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="there is nothing of that name"):
        open_pictures("pipe:cat shard.tar")
    with pytest.raises(ValueError, match="it is neither"):
        open_pictures(folder / "a" / "0.png")
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(ValueError, match="a path a line, it is empty"):
        open_pictures(tmp_path / "empty.txt")
    (tmp_path / "twice.txt").write_text("a\nb\na\n")
    with pytest.raises(ValueError, match="'a' comes twice"):
        open_pictures(tmp_path / "twice.txt")
    np.save(tmp_path / "bytes.npy", np.arange(999))
    (tmp_path / "bytes.npy").rename(tmp_path / "bytes.txt")
    with pytest.raises(ValueError, match="UTF-8"):
        open_pictures(tmp_path / "bytes.txt")
    with pytest.raises(ValueError, match="a name a picture, got 0 for 1"):
        PathPictures([folder], [])
