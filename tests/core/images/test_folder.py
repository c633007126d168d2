"""Folders of pictures: all of them, in order, and no bad one stops the others."""

from __future__ import annotations

import gc
import threading
import weakref
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from mlcd.core.images import ImageError, list_images, read_images


def save(path: Path, value: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", (8, 6), (value, value, value)).save(path)
    return path


def test_pictures_are_listed_below_the_folder_in_the_order_of_their_paths(tmp_path: Path) -> None:
    names = ["b.PNG", "a/z.jpg", "a.jpeg", "a b/c.webp", "a/b/c.TIFF", "10.gif", "9.bmp"]
    for name in names:
        save(tmp_path / name, 0)
    for other in ("notes.txt", "jpg", ".hidden.jpg", ".thumbnails/t.jpg", "a/.DS_Store"):
        (tmp_path / other).parent.mkdir(exist_ok=True)
        (tmp_path / other).write_text("no picture")
    found = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)]
    assert found == [
        "10.gif", "9.bmp", "a/b/c.TIFF", "a/z.jpg", "a b/c.webp", "a.jpeg", "b.PNG",
    ]  # fmt: skip


def test_a_folder_below_a_hidden_one_is_still_a_folder_of_pictures(tmp_path: Path) -> None:
    path = save(tmp_path / ".cache" / "a.png", 0)
    assert list_images(str(path.parent)) == [path]


def test_links_to_pictures_are_listed_and_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    picture = save(tmp_path / "real" / "a.png", 0)
    (tmp_path / "link.png").symlink_to(picture)
    (tmp_path / "real" / "loop").symlink_to(tmp_path)
    assert [path.name for path in list_images(tmp_path)] == ["link.png", "a.png"]


def test_a_missing_folder_a_file_and_a_folder_without_pictures_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match="no pictures in it; looked for names ending in"):
        list_images(tmp_path)
    for path in (tmp_path / "none", tmp_path / "notes.txt"):
        with pytest.raises(ValueError, match="it is not a folder"):
            list_images(path)


def test_pictures_come_in_order_and_bad_ones_as_their_reasons(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{index:02}.png", index) for index in range(40)]
    paths[7].write_bytes(b"")
    paths[8].write_bytes(paths[9].read_bytes()[:50])
    paths[39].unlink()
    results = list(read_images(paths, workers=3))
    assert [source for source, _ in results] == paths
    bad = {index for index, (_, image) in enumerate(results) if isinstance(image, ImageError)}
    assert bad == {7, 8, 39}
    for index, (_, image) in enumerate(results):
        if not isinstance(image, ImageError):
            assert image.shape == (6, 8, 3)
            assert (image == index).all()
    assert "empty" in str(results[7][1])


def test_pictures_are_taken_only_a_bounded_way_ahead(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", 0)
    taken = 0

    def endless() -> object:
        nonlocal taken
        while True:
            taken += 1
            yield path

    reader = read_images(endless(), workers=2)
    alive: list[weakref.ref[object]] = []
    for read in range(1, 50):
        _, image = next(reader)
        assert isinstance(image, np.ndarray)
        alive.append(weakref.ref(image))
        del image
        assert taken <= read + 4
    assert not any(image() is not None for image in alive)  # the reader keeps nothing it gave out
    reader.close()


def test_leaving_early_leaves_no_thread_behind(tmp_path: Path) -> None:
    def readers() -> list[str]:
        return [item.name for item in threading.enumerate() if "ordered-map" in item.name]

    for _ in read_images([save(tmp_path / "a.png", 0)] * 100, workers=4):
        assert readers()
        break
    gc.collect()
    assert not readers()


def test_no_pictures_give_nothing_and_no_workers_are_refused() -> None:
    assert list(read_images([])) == []
    with pytest.raises(ValueError, match="workers and ahead must be at least 1"):
        read_images([], workers=0)
