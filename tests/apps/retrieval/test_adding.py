"""A gallery follows its files: what is embedded, what is taken over, what cannot be read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mlcd.apps.retrieval import Gallery, intake
from mlcd.core.towers import VisionTower

Draw = Callable[[Path, int], Path]


class CountingTower:
    """Stands between a gallery and its tower and notes what is embedded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[str] = []
        embed = intake.embed_images

        def counted(tower: VisionTower, sources: list[Path], **options: object) -> object:
            self.seen += [path.name for path in sources]
            return embed(tower, sources, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(intake, "embed_images", counted)


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that go through the tower from here on."""
    return CountingTower(monkeypatch).seen


def test_unchanged_files_are_neither_embedded_nor_read(
    gallery: Gallery, photos: Path, embedded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "_try_hash", lambda file: pytest.fail(f"{file.path} was read"))
    before = gallery.state
    report = gallery.add(photos)
    assert (report.added, report.changed, report.unchanged) == (0, 0, 12)
    assert embedded == []
    assert gallery.state == before


def test_a_touched_file_is_hashed_once_and_not_embedded(
    gallery: Gallery, photos: Path, embedded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime(photos / "01.png", ns=(1, 1))
    assert gallery.add(photos).unchanged == 12
    monkeypatch.setattr(intake, "_try_hash", lambda file: pytest.fail(f"{file.path} was read"))
    assert gallery.add(photos).unchanged == 12
    assert embedded == []


def test_a_changed_file_is_found_by_its_new_content_only(
    gallery: Gallery, photos: Path, picture: Draw, embedded: list[str], tmp_path: Path
) -> None:
    old = tmp_path / "old.png"
    shutil.copy(photos / "01.png", old)
    picture(photos / "01.png", 99)
    report = gallery.add(photos)
    assert (report.added, report.changed, report.unchanged) == (0, 1, 11)
    assert embedded == ["01.png"]
    assert len(gallery) == 12
    assert gallery.search(photos / "01.png")[0].path == photos / "01.png"
    assert gallery.search(old)[0].score < 1 - 1e-4


def test_a_copied_or_moved_file_takes_its_vector_along(
    gallery: Gallery, photos: Path, embedded: list[str]
) -> None:
    shutil.copy(photos / "01.png", photos / "copy.png")
    (photos / "02.png").rename(photos / "moved.png")
    report = gallery.add(photos)
    assert (report.added, report.changed, report.unchanged) == (2, 0, 11)
    assert embedded == []
    assert {hit.path.name for hit in gallery.search(photos / "01.png", k=2)} == {
        "01.png",
        "copy.png",
    }
    assert gallery.missing() == [photos / "02.png"]


def test_equal_files_in_one_add_go_through_the_tower_once_and_score_alike(
    gallery: Gallery, photos: Path, picture: Draw, embedded: list[str]
) -> None:
    for name in ("a.png", "b.png", "c.png"):
        picture(photos / "new" / name, 50)
    gallery.add(photos / "new")
    assert len(embedded) == 1
    hits = gallery.search(photos / "new" / "b.png", k=3)
    assert len({hit.score for hit in hits}) == 1
    assert [hit.path.name for hit in hits] == ["a.png", "b.png", "c.png"]


def test_unreadable_pictures_are_listed_and_the_rest_is_indexed(
    tmp_path: Path, photos: Path, tower: VisionTower
) -> None:
    (photos / "zero.png").touch()
    (photos / "text.jpg").write_text("not a picture")
    whole = (photos / "01.png").read_bytes()
    (photos / "cut.png").write_bytes(whole[: len(whole) // 2])
    gallery = Gallery.create(tmp_path / "gallery", tower)
    report = gallery.add(photos)
    assert report.added == len(gallery) == 12
    assert sorted(failure.path.name for failure in report.failures) == [
        "cut.png",
        "text.jpg",
        "zero.png",
    ]
    assert all(str(failure.path) in failure.reason for failure in report.failures)


def test_a_known_picture_that_became_unreadable_stays_as_it_was(
    gallery: Gallery, photos: Path, tmp_path: Path
) -> None:
    shutil.copy(photos / "01.png", tmp_path / "good.png")
    (photos / "01.png").write_bytes(b"damaged")
    assert [failure.path.name for failure in gallery.add(photos).failures] == ["01.png"]
    assert gallery.search(tmp_path / "good.png")[0].path == photos / "01.png"


def test_a_picture_that_changes_while_it_is_read_is_not_taken(
    gallery: Gallery, photos: Path, picture: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = intake.embed_images

    def slow(tower: VisionTower, sources: list[Path], **options: object) -> object:
        yield from embed(tower, sources, **options)  # type: ignore[arg-type]

    def meddling(tower: VisionTower, sources: list[Path], **options: object) -> object:
        batches = list(slow(tower, sources, **options))  # type: ignore[call-overload]
        picture(photos / "new.png", 78)
        os.utime(photos / "new.png", ns=(5, 5))
        return batches

    picture(photos / "new.png", 77)
    monkeypatch.setattr(intake, "embed_images", meddling)
    (failure,) = gallery.add(photos).failures
    assert "changed while it was read" in failure.reason
    assert photos / "new.png" not in gallery.paths()


def test_a_file_name_that_is_no_text_is_kept_as_it_is(
    gallery: Gallery, photos: Path, picture: Draw
) -> None:
    odd = Path(os.fsdecode(os.fsencode(photos) + b"/caf\xe9.png"))
    try:
        picture(photos / "plain.png", 60).rename(odd)
    except OSError:
        pytest.skip("this file system takes only text")
    gallery.add(photos)
    assert gallery.search(odd, k=1)[0].path == odd


def test_relative_paths_are_stored_absolute(
    gallery: Gallery, photos: Path, picture: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(photos.parent / "extra.png", 61)
    monkeypatch.chdir(photos)
    gallery.add(["../extra.png"])
    assert photos.parent / "extra.png" in gallery.paths()


def test_an_empty_folder_and_a_path_that_is_not_there_are_refused_before_anything_changes(
    gallery: Gallery, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    before = gallery.state
    with pytest.raises(ValueError, match="empty: no pictures in it"):
        gallery.add(tmp_path / "empty")
    with pytest.raises(ValueError, match="nowhere: no such picture or folder"):
        gallery.add(tmp_path / "nowhere")
    assert gallery.state == before
