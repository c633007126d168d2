"""A gallery finds its pictures, forgets what is removed, and is made in a folder of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mlcd.apps.retrieval import Gallery, GalleryError
from mlcd.core.images import ImageError, read_image
from mlcd.core.towers import VisionTower

Draw = Callable[[Path, int], Path]


def names(gallery: Gallery) -> set[str]:
    return {path.name for path in gallery.paths()}


def test_every_picture_finds_itself_first_with_a_cosine_of_one(
    gallery: Gallery, photos: Path
) -> None:
    for path in photos.rglob("*.png"):
        hits = gallery.search(path, k=3)
        assert hits[0].path == path
        assert hits[0].score == pytest.approx(1, abs=1e-6)
        assert len(hits) == 3
        assert hits[0].score >= hits[1].score >= hits[2].score


def test_scores_are_the_cosines_of_the_towers_embeddings(
    gallery: Gallery, photos: Path, tower: VisionTower
) -> None:
    query = photos / "01.png"
    embeddings = tower.embed([query, *gallery.paths()]).numpy()
    expected = dict(zip(gallery.paths(), embeddings[1:] @ embeddings[0], strict=True))
    hits = gallery.search(query, k=12)
    assert len(hits) == 12
    for hit in hits:
        assert hit.score == pytest.approx(float(expected[hit.path]), abs=1e-6)


def test_many_queries_are_answered_as_one_by_one(gallery: Gallery, photos: Path) -> None:
    queries = sorted(photos.rglob("*.png"))[:5]
    together = gallery.search_many([read_image(path) for path in queries], k=4)
    for path, hits in zip(queries, together, strict=True):
        alone = gallery.search(path, k=4)
        assert [hit.path for hit in hits] == [hit.path for hit in alone]
    assert gallery.search_many([]) == []


def test_a_region_is_searched_as_the_picture_that_it_cuts_out(
    gallery: Gallery, photos: Path
) -> None:
    image = read_image(photos / "01.png")
    by_region = gallery.search(image, k=3, region=(10, 5, 40, 35))
    assert by_region == gallery.search(image[5:35, 10:40], k=3)
    assert by_region != gallery.search(image, k=3)


def test_more_hits_than_pictures_gives_all_of_them(gallery: Gallery, photos: Path) -> None:
    assert len(gallery.search(photos / "01.png", k=100)) == 12
    with pytest.raises(ValueError, match="k: expected at least 1, got 0"):
        gallery.search(photos / "01.png", k=0)


def test_a_gallery_opened_elsewhere_finds_the_same(
    gallery: Gallery, photos: Path, tower: VisionTower, tmp_path: Path
) -> None:
    moved = tmp_path / "else" / "where"
    shutil.copytree(gallery.folder, moved)
    assert Gallery.open(moved, tower=tower).search(photos / "01.png") == gallery.search(
        photos / "01.png"
    )


def test_an_unreadable_query_is_an_error_that_names_it(gallery: Gallery, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ImageError, match=r"text\.png"):
        gallery.search(tmp_path / "text.png")


# -- removing and rebuilding -------------------------------------------------------------------


def test_removed_pictures_are_never_found_again(gallery: Gallery, photos: Path) -> None:
    assert gallery.remove(photos / "01.png") == 1
    assert gallery.remove(photos / "trip") == 4
    assert len(gallery) == 7
    found = {hit.path.name for hit in gallery.search(photos / "01.png", k=100)}
    assert found == names(gallery)
    assert "01.png" not in found


def test_removing_what_is_not_there_removes_nothing(gallery: Gallery, photos: Path) -> None:
    with pytest.raises(ValueError, match=r"tri is not in .*; nothing was removed"):
        gallery.remove([photos / "01.png", photos / "tri"])
    assert len(gallery) == 12


def test_rebuilding_gives_back_the_space_and_finds_the_same(gallery: Gallery, photos: Path) -> None:
    gallery.remove(photos / "trip")
    before = gallery.search(photos / "01.png", k=100)
    gallery.rebuild()
    assert gallery.search(photos / "01.png", k=100) == before
    assert gallery.state.rows == 8
    (vectors,) = gallery.folder.glob("vectors-*.f32")
    assert vectors.stat().st_size == 8 * gallery.state.dim * 4


def test_an_index_that_needs_more_pictures_is_refused_without_a_trace(gallery: Gallery) -> None:
    pytest.importorskip("faiss")
    before = sorted(path.name for path in gallery.folder.iterdir())
    with pytest.raises(ValueError, match="ivfpq index needs at least"):
        gallery.rebuild(index="ivfpq")
    assert sorted(path.name for path in gallery.folder.iterdir()) == before
    assert gallery.state.index_kind == "exact"


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_a_faiss_index_follows_every_change(
    kind: str, tmp_path: Path, photos: Path, picture: Draw, tower: VisionTower
) -> None:
    pytest.importorskip("faiss")
    gallery = Gallery.create(tmp_path / "gallery", tower, index=kind)  # type: ignore[arg-type]
    gallery.add(photos)
    picture(photos / "new.png", 70)
    picture(photos / "01.png", 71)
    gallery.add(photos)
    gallery.remove(photos / "02.png")
    again = Gallery.open(gallery.folder, tower=tower)
    exact = Gallery.create(tmp_path / "exact", tower)
    exact.add([path for path in photos.rglob("*.png") if path.name != "02.png"])
    for path in exact.paths():
        ours = {hit.path: hit.score for hit in again.search(path, k=5)}
        theirs = {hit.path: hit.score for hit in exact.search(path, k=5)}
        assert ours == pytest.approx(theirs, abs=1e-6)
    if kind == "hnsw":
        assert again.state.index_recall == 1.0
    again.rebuild(index="exact")
    assert not list(gallery.folder.glob("*.faiss"))
    assert again.search(photos / "new.png")[0].path.name == "new.png"


def test_a_gallery_in_hand_sees_what_another_one_changes(
    gallery: Gallery, photos: Path, picture: Draw, tower: VisionTower
) -> None:
    other = Gallery.open(gallery.folder, tower=tower)
    assert len(other) == 12
    picture(photos / "new.png", 72)
    gallery.add(photos)
    assert other.search(photos / "new.png", k=1)[0].path.name == "new.png"
    gallery.remove(photos / "new.png")
    gallery.rebuild()
    assert other.search(photos / "new.png", k=1)[0].path.name != "new.png"


def test_near_duplicates_are_grouped(gallery: Gallery, photos: Path) -> None:
    for number in (1, 4):
        shutil.copy(photos / f"{number:02}.png", photos / f"{number:02}-copy.png")
    gallery.add(photos)
    gallery.remove(photos / "trip")
    groups = gallery.near_duplicates(threshold=0.9999)
    assert [[path.name for path in group] for group in groups] == [
        ["01.png", "01-copy.png"],
        ["04.png", "04-copy.png"],
    ]


# -- making ------------------------------------------------------------------------------------


def test_a_folder_that_holds_something_else_does_not_become_a_gallery(
    gallery: Gallery, photos: Path, tower: VisionTower
) -> None:
    with pytest.raises(GalleryError, match="is a gallery already"):
        Gallery.create(gallery.folder, tower)
    with pytest.raises(GalleryError, match="is not empty"):
        Gallery.create(photos, tower)


def test_an_empty_gallery_says_how_to_fill_it(
    tmp_path: Path, photos: Path, tower: VisionTower
) -> None:
    gallery = Gallery.create(tmp_path / "gallery", tower)
    assert len(gallery) == 0
    with pytest.raises(GalleryError, match="holds no pictures yet; add some with"):
        gallery.search(photos / "01.png")
