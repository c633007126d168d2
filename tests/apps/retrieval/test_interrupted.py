"""A kill at any point leaves the old gallery or the new one; a full disk and Ctrl-C lose nothing.

The kills are real: a forked process sends itself SIGKILL at a chosen line of our code, or is sent
one at a random moment, which may be inside of SQLite or the kernel.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np
import pytest

import mlcd.apps.retrieval
import mlcd.core.files
from mlcd.apps.retrieval import Gallery, GalleryError, Hit, intake
from mlcd.apps.retrieval.check import check_gallery
from mlcd.apps.retrieval.store import METADATA
from mlcd.core.towers import VisionTower

Draw = Callable[[Path, int], Path]
Change = Callable[[Gallery], object]

OURS = (str(Path(mlcd.apps.retrieval.__file__).parent), str(mlcd.core.files.__file__))
SURVIVED, FAILED = 0, 3


@dataclass(frozen=True)
class Answers:
    """All that a search can find: every picture with its cosine to a fixed query."""

    hits: list[Hit]

    @classmethod
    def of(cls, gallery: Gallery) -> Answers:
        probe = np.random.default_rng(5).standard_normal((1, gallery.state.dim))
        probe = (probe / np.linalg.norm(probe)).astype(np.float32)
        try:
            return cls(gallery.search_embeddings(probe, k=1000)[0])
        except GalleryError:
            assert len(gallery) == 0
            return cls([])


def in_child(work: Callable[[], object]) -> int:
    """Run `work` in a forked process: its exit status, negative for the signal that killed it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except OSError:
            os._exit(FAILED)
        except BaseException:  # noqa: BLE001 - a forked process must not return
            sys.excepthook(*sys.exc_info())
            os._exit(FAILED + 1)
        os._exit(SURVIVED)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def lines_run(work: Callable[[], object]) -> list[tuple[str, int]]:
    """The lines of our code that `work` runs in this thread, in order, with repetitions."""
    seen: list[tuple[str, int]] = []

    def trace(frame: FrameType, event: str, argument: object) -> object:
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        if event == "line":
            seen.append((frame.f_code.co_filename, frame.f_lineno))
        return trace

    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        work()
    finally:
        sys.settrace(None)
    return seen


def killed_at(step: int, work: Callable[[], object]) -> Callable[[], None]:
    """`work`, but the process dies by SIGKILL when it comes to the `step`-th line of our code."""

    def run() -> None:
        count = 0

        def trace(frame: FrameType, event: str, argument: object) -> object:
            nonlocal count
            if not frame.f_code.co_filename.startswith(OURS):
                return None
            if event == "line":
                if count == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                count += 1
            return trace

        sys.settrace(trace)  # type: ignore[arg-type]
        work()

    return run


def steps_worth_killing_at(lines: list[tuple[str, int]]) -> list[int]:
    """The first and the last time that each line is run: loops are cut short in between."""
    first = {line: step for step, line in reversed(list(enumerate(lines)))}
    last = {line: step for step, line in enumerate(lines)}
    return sorted({*first.values(), *last.values()})


@pytest.fixture
def changed_photos(gallery: Gallery, photos: Path, picture: Draw) -> Path:
    """The folder of the gallery some time later: pictures are new, copied, changed and damaged."""
    picture(photos / "new.png", 80)
    picture(photos / "trip" / "newer.png", 81)
    picture(photos / "01.png", 82)
    (photos / "02.png").write_bytes(b"damaged")
    shutil.copy(photos / "04.png", photos / "copy.png")
    return photos


def changes(photos: Path) -> dict[str, Change]:
    return {
        "add": lambda gallery: gallery.add(photos),
        "remove": lambda gallery: gallery.remove(photos / "trip"),
        "rebuild": lambda gallery: gallery.rebuild(),
    }


@pytest.mark.parametrize("kind", ["exact", pytest.param("hnsw", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["add", "remove", "rebuild"])
def test_a_kill_at_any_line_leaves_the_old_gallery_or_the_new_one(
    name: str, kind: str, gallery: Gallery, changed_photos: Path, tower: VisionTower, tmp_path: Path
) -> None:
    if kind == "hnsw":
        pytest.importorskip("faiss")
        gallery.rebuild(index="hnsw")
    if name == "rebuild":
        gallery.remove(changed_photos / "05.png")
    change = changes(changed_photos)[name]
    folder = tmp_path / "tried"

    def on_a_copy() -> Gallery:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(gallery.folder, folder)
        return Gallery.open(folder, tower=tower)

    old = Answers.of(on_a_copy())
    lines = lines_run(lambda: change(on_a_copy()))
    change(done := on_a_copy())
    new = Answers.of(done)
    outcomes: set[str] = set()
    for step in steps_worth_killing_at(lines):
        on_a_copy()
        status = in_child(killed_at(step, lambda: change(Gallery.open(folder, tower=tower))))
        assert status in (-signal.SIGKILL, SURVIVED), f"step {step}: {lines[step]}"
        left = Gallery.open(folder, tower=tower)
        found = Answers.of(left)
        assert found in (old, new), f"killed at {lines[step]}"
        assert check_gallery(folder).problems == [], f"killed at {lines[step]}"
        outcomes.add("old" if found == old else "new")
        if found == old and name != "remove":
            change(left)
            assert Answers.of(left) == new, f"done again after {lines[step]}"
            assert len(list(folder.iterdir())) == len(list(done.folder.iterdir()))
    assert name == "rebuild" or outcomes == {"old", "new"}


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_kills_at_random_moments_never_leave_a_third_state(
    seed: int, gallery: Gallery, photos: Path, picture: Draw, tower: VisionTower
) -> None:
    extra = [picture(photos.parent / "extra" / f"{i}.png", 200 + i) for i in range(3)]
    without = Answers.of(gallery)
    gallery.add(extra)
    with_extra = Answers.of(gallery)
    gallery.remove(extra)
    chance = random.Random(seed)

    def for_ever() -> None:
        mine = Gallery.open(gallery.folder, tower=tower)
        while True:
            mine.add(extra)
            mine.remove(extra)
            mine.rebuild()

    seen: set[int] = set()
    for _ in range(40):
        child = os.fork()
        if child == 0:
            try:
                for_ever()
            finally:
                os._exit(FAILED)
        time.sleep(chance.uniform(0.0, 0.15))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        found = Answers.of(Gallery.open(gallery.folder, tower=tower))
        assert found in (without, with_extra)
        assert check_gallery(gallery.folder).problems == []
        seen.add(len(found.hits))
        if len(found.hits) == 15:
            Gallery.open(gallery.folder, tower=tower).remove(extra)
    assert seen == {12, 15}, "the kills came too early or too late to try anything"


def test_a_kill_while_it_is_made_leaves_no_gallery_or_an_empty_one(
    tmp_path: Path, photos: Path, tower: VisionTower
) -> None:
    folder = tmp_path / "made"

    def create() -> Gallery:
        return Gallery.create(folder, tower)

    lines = lines_run(create)
    for step in steps_worth_killing_at(lines):
        shutil.rmtree(folder, ignore_errors=True)
        assert in_child(killed_at(step, create)) in (-signal.SIGKILL, SURVIVED)
        try:
            left = Gallery.open(folder, tower=tower)
        except GalleryError:
            assert not (folder / METADATA).exists()
            left = create()  # what the kill left behind is not in the way
        assert len(left) == 0


# -- full disks --------------------------------------------------------------------------------


def with_room_for(size: int, work: Callable[[], object]) -> Callable[[], None]:
    """`work`, but no file may grow beyond `size` bytes: writes fail as on a full disk."""

    def run() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        work()

    return run


@pytest.mark.parametrize("name", ["add", "rebuild"])
def test_a_full_disk_is_an_error_that_leaves_the_old_gallery(
    name: str, gallery: Gallery, changed_photos: Path, tower: VisionTower, tmp_path: Path
) -> None:
    change = changes(changed_photos)[name]
    old = Answers.of(gallery)
    sizes = [path.stat().st_size for path in gallery.folder.iterdir()]
    statuses: set[int] = set()
    for room in [*range(0, 2 * max(sizes), 1000), 10**9]:
        folder = tmp_path / f"with-{room}"
        shutil.copytree(gallery.folder, folder)
        status = in_child(
            with_room_for(room, lambda: change(Gallery.open(folder, tower=tower)))  # noqa: B023
        )
        assert status in (SURVIVED, FAILED), f"not an OSError with room for {room}"
        statuses.add(status)
        left = Gallery.open(folder, tower=tower)
        if status == FAILED:
            assert Answers.of(left) == old
            assert check_gallery(folder).problems == []
            change(left)  # room was made
        assert check_gallery(folder).problems == []
        assert len(left) == (15 if name == "add" else 12)
    assert statuses == {SURVIVED, FAILED}


# -- Ctrl-C ------------------------------------------------------------------------------------


@pytest.fixture
def stopped_after_first_batch(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ctrl-C after the first batch of the first add; names of all files that were embedded."""
    embed = intake.embed_images
    seen: list[str] = []
    stops = [KeyboardInterrupt()]

    def stopping(tower: VisionTower, sources: list[Path], **options: object) -> Iterator[object]:
        for batch in embed(tower, sources, **options):  # type: ignore[arg-type]
            seen.extend(sources[i].name for i in batch.indices)
            yield batch
            if stops:
                raise stops.pop()

    monkeypatch.setattr(intake, "embed_images", stopping)
    return seen


def test_after_ctrl_c_the_same_add_goes_on_where_it_was(
    tmp_path: Path, photos: Path, tower: VisionTower, stopped_after_first_batch: list[str]
) -> None:
    seen = stopped_after_first_batch
    gallery = Gallery.create(tmp_path / "gallery", tower)
    with pytest.raises(KeyboardInterrupt):
        gallery.add(photos, batch_size=4)
    assert len(seen) == 4
    assert len(gallery) == 0
    with pytest.raises(GalleryError, match=r"half written: .* 4 pictures ready; run the same"):
        gallery.search(photos / "01.png")
    assert "4 pictures are ready" in check_gallery(gallery.folder).notes[0]

    report = gallery.add(photos, batch_size=4)
    assert report.added == len(gallery) == 12
    assert len(seen) == len(set(seen)) == 12
    assert gallery.search(photos / "01.png")[0].path == photos / "01.png"


def test_what_an_interrupted_add_left_is_not_published_by_another_one(
    tmp_path: Path,
    photos: Path,
    picture: Draw,
    tower: VisionTower,
    stopped_after_first_batch: list[str],
) -> None:
    gallery = Gallery.create(tmp_path / "gallery", tower)
    with pytest.raises(KeyboardInterrupt):
        gallery.add(photos, batch_size=4)
    other = picture(tmp_path / "other.png", 90)
    assert gallery.add(other).added == 1
    assert gallery.paths() == [other]
    gallery.rebuild()  # drops what was left
    assert check_gallery(gallery.folder).notes == []


def test_a_file_that_changed_after_the_interrupt_is_embedded_anew(
    tmp_path: Path,
    photos: Path,
    picture: Draw,
    tower: VisionTower,
    stopped_after_first_batch: list[str],
) -> None:
    seen = stopped_after_first_batch
    gallery = Gallery.create(tmp_path / "gallery", tower)
    with pytest.raises(KeyboardInterrupt):
        gallery.add(photos, batch_size=4)
    changed = photos / seen[0]
    picture(changed, 91)
    gallery.add(photos)
    assert gallery.search(changed, k=1)[0].path == changed
    assert gallery.search(changed, k=1)[0].score == pytest.approx(1, abs=1e-6)
    assert check_gallery(gallery.folder).problems == []


def test_a_second_writer_is_refused_and_readers_are_not(
    gallery: Gallery, photos: Path, tower: VisionTower
) -> None:
    other = Gallery.open(gallery.folder, tower=tower)
    with gallery._store.writer():
        for change in changes(photos).values():
            with pytest.raises(GalleryError, match="being changed by another process"):
                change(other)
        assert len(other.search(photos / "01.png")) == 10
    other.remove(photos / "01.png")
