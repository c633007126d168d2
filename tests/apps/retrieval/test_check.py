"""A damaged gallery is refused with a sentence that says what is wrong, and `check` says it all."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mlcd.apps.retrieval import Gallery, GalleryError
from mlcd.apps.retrieval.check import check_gallery
from mlcd.core.towers import VisionTower

Damage = Callable[[Path], object]


def cut(name: str, by: int) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[:-by])

    return damage


def execute(statement: str) -> Damage:
    def damage(folder: Path) -> None:
        with sqlite3.connect(folder / "metadata.sqlite") as connection:
            connection.execute(statement)
        connection.close()

    return damage


CASES: dict[str, tuple[Damage, str]] = {
    "metadata gone": (
        lambda folder: (folder / "metadata.sqlite").unlink(),
        "metadata.sqlite is missing, and with it the names of all pictures",
    ),
    "metadata empty": (
        lambda folder: (folder / "metadata.sqlite").write_bytes(b""),
        "is no gallery's metadata .* half written; copy it again",
    ),
    "metadata cut": (cut("metadata.sqlite", 12_000), "metadata.sqlite is damaged"),
    "metadata something else": (
        lambda folder: (folder / "metadata.sqlite").write_bytes(b"hello" * 1000),
        "metadata.sqlite is damaged .*file is not a database",
    ),
    "vectors gone": (
        lambda folder: (folder / "vectors-0.f32").unlink(),
        "vectors-0.f32 is missing: the gallery was copied or deleted in part",
    ),
    "vectors cut": (
        cut("vectors-0.f32", 1),
        "holds 1,535 bytes, expected at least 1,536 for 12 vectors: the gallery is half written",
    ),
    "newer format": (
        execute("PRAGMA user_version = 2"),
        "gallery format 2, this program reads 1: .* upgrade mlcd",
    ),
    "folder gone": (shutil.rmtree, "no such gallery; make one with `mlcd retrieval index"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_gallery_that_is_not_whole_is_refused_in_words(
    name: str, gallery: Gallery, photos: Path, tower: VisionTower
) -> None:
    damage, message = CASES[name]
    damage(gallery.folder)
    with pytest.raises(GalleryError, match=message):
        Gallery.open(gallery.folder, tower=tower)
    found = check_gallery(gallery.folder)
    assert len(found.problems) == 1
    with pytest.raises(GalleryError, match=message):
        raise GalleryError(found.problems[0])
    with pytest.raises(GalleryError):
        gallery.add(photos)


def test_a_folder_that_never_was_a_gallery_is_called_so(photos: Path) -> None:
    with pytest.raises(GalleryError, match=r"is not a gallery: it holds no metadata\.sqlite"):
        Gallery.open(photos)


def test_a_missing_index_file_is_refused_and_a_rebuild_mends_it(
    gallery: Gallery, photos: Path, tower: VisionTower
) -> None:
    pytest.importorskip("faiss")
    gallery.rebuild(index="hnsw")
    (index,) = gallery.folder.glob("index-*.faiss")
    index.unlink()
    with pytest.raises(GalleryError, match=r"index-.*faiss is missing; run `mlcd retrieval rebui"):
        Gallery.open(gallery.folder, tower=tower)
    assert len(check_gallery(gallery.folder).problems) == 1
    gallery.rebuild()
    assert check_gallery(gallery.folder).problems == []
    assert Gallery.open(gallery.folder, tower=tower).search(photos / "01.png")


def test_a_vector_that_is_not_its_pictures_is_never_given_as_a_hit(
    gallery: Gallery, photos: Path, tower: VisionTower
) -> None:
    """Metadata of one gallery beside vectors of another: every search would name wrong pictures."""
    path = gallery.folder / "vectors-0.f32"
    vectors = np.fromfile(path, dtype=np.float32).reshape(12, -1)
    vectors[[2, 7]] = vectors[[7, 2]]
    vectors.tofile(path)
    opened = Gallery.open(gallery.folder, tower=tower)
    with pytest.raises(
        GalleryError, match=r"does not belong to the picture .*`mlcd retrieval check"
    ):
        opened.search(photos / "01.png", k=12)
    with pytest.raises(GalleryError, match="is damaged; remove that picture"):
        opened.rebuild()
    named = sorted(str(opened.paths()[row]) for row in (2, 7))
    (problem,) = check_gallery(gallery.folder).problems
    assert problem.startswith("2 vectors do not belong to the pictures")
    assert all(name in problem for name in named)
    opened.remove(named)
    opened.add(named)
    assert check_gallery(gallery.folder).problems == []


def test_a_row_that_names_another_picture_is_found_out(
    gallery: Gallery, photos: Path, tower: VisionTower
) -> None:
    execute("UPDATE pictures SET path = CAST('/else/where.png' AS BLOB) WHERE row = 4")(
        gallery.folder
    )
    assert "/else/where.png" in check_gallery(gallery.folder).problems[0]
    with pytest.raises(GalleryError, match="vector 4 does not belong"):
        Gallery.open(gallery.folder, tower=tower).search(photos / "01.png", k=12)


def test_vectors_beyond_the_end_of_the_file_are_a_problem_not_a_crash(gallery: Gallery) -> None:
    execute("UPDATE pictures SET row = 900 WHERE row = 11")(gallery.folder)
    found = check_gallery(gallery.folder)
    assert found.problems
    with pytest.raises(GalleryError, match="metadata name vector 900 of 12"):
        Gallery.open(gallery.folder)


def test_a_sound_gallery_is_described(gallery: Gallery, tower: VisionTower) -> None:
    found = check_gallery(gallery.folder)
    assert found.problems == found.notes == []
    for part in ("12 pictures", "32 numbers", tower.name, "exact index"):
        assert part in found.summary


def test_notes_tell_what_is_worth_knowing_about_the_files(
    gallery: Gallery, photos: Path, picture: Callable[[Path, int], Path]
) -> None:
    (photos / "01.png").unlink()
    picture(photos / "02.png", 500)
    gallery.remove(photos / "trip")
    (gallery.folder / "vectors-9.f32").write_bytes(b"left behind")
    found = check_gallery(gallery.folder)
    assert found.problems == []
    told = "\n".join(found.notes)
    assert "1 pictures are no longer where they were" in told
    assert "1 pictures were written to since" in told
    assert "4 of 12 vectors are of removed pictures" in told
    assert "vectors-9.f32" in told
    gallery.rebuild()
    assert "vectors-9.f32" not in "\n".join(check_gallery(gallery.folder).notes)


def test_bytes_that_a_kill_left_behind_the_last_vector_change_nothing(
    gallery: Gallery, photos: Path, picture: Callable[[Path, int], Path], tower: VisionTower
) -> None:
    before = gallery.search(photos / "01.png")
    with (gallery.folder / "vectors-0.f32").open("ab") as file:
        file.write(b"torn")
    opened = Gallery.open(gallery.folder, tower=tower)
    assert opened.search(photos / "01.png") == before
    picture(photos / "new.png", 501)
    opened.add(photos)
    assert check_gallery(gallery.folder).problems == []
    assert opened.search(photos / "new.png", k=1)[0].path == photos / "new.png"
