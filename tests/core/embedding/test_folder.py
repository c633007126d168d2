"""`embed_folder`: a folder's embeddings on disk, whole or taken up again, whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.core.embedding.toy_tower import ToyConfig, ToyTower

from mlcd.core.embedding import EmbeddedFolder, embed_folder, folder, journal
from mlcd.core.images import Preprocess, list_images

ROOT = Path(__file__).parents[3]
BATCH = 4

SCRIPT = f"""
import sys
from mlcd.core.embedding import embed_folder
from tests.core.embedding.toy_tower import ToyTower
print("ready", flush=True)
embed_folder(ToyTower(seconds_a_batch=float(sys.argv[3])), *sys.argv[1:3], batch_size={BATCH})
"""


def start(pictures: Path, output: Path, *, seconds_a_batch: float = 0.03) -> subprocess.Popen[str]:
    """A process of its own that embeds the pictures."""
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(pictures), str(output), str(seconds_a_batch)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_batches(output: Path, count: int) -> None:
    lines = output / "unfinished" / "journal.jsonl"
    deadline = time.monotonic() + 60
    while not lines.exists() or lines.read_bytes().count(b"\n") < count:
        assert time.monotonic() < deadline, "the process wrote nothing"
        time.sleep(0.005)


def embed(pictures: Path, output: Path, tower: ToyTower | None = None) -> EmbeddedFolder:
    return embed_folder(tower or ToyTower(), pictures, output, batch_size=BATCH)


def contents(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in output.iterdir() if path.is_file()}


# --- what is written -------------------------------------------------------------------------


def test_rows_and_paths_stand_in_the_same_order(pictures: Path, tmp_path: Path) -> None:
    done = embed(pictures, tmp_path / "out")
    assert sorted(contents(tmp_path / "out")) == [
        "embedding.json", "embeddings.npy", "failures.json", "paths.txt",
    ]  # fmt: skip
    embeddings = np.load(tmp_path / "out" / "embeddings.npy")
    names = (tmp_path / "out" / "paths.txt").read_text(encoding="utf-8").splitlines()
    assert names == [path.relative_to(pictures).as_posix() for path in list_images(pictures)]
    assert names[0] == "a/00.png"
    assert embeddings.shape == (done.rows, done.width) == (50, 8)
    assert np.abs(np.linalg.norm(embeddings, axis=1) - 1).max() < 1e-6
    tower = ToyTower()
    for name, row in zip(names, embeddings, strict=True):
        pixels = tower.config.preprocess.batch([pictures / name])
        assert np.abs(tower.embed_pixels(pixels).numpy() - row).max() < 1e-6
    assert (done.failures, done.resumed) == ([], 0)
    made = json.loads((tmp_path / "out" / "embedding.json").read_text())
    assert made["weights_sha256"] == tower.weights_sha256()
    assert Preprocess.from_dict(made["preprocess"]) == tower.config.preprocess
    assert (made["pictures"], made["rows"], made["width"]) == (50, 50, 8)


def test_unreadable_pictures_are_listed_and_the_rest_embedded(
    pictures: Path, tmp_path: Path
) -> None:
    (pictures / "a" / "00.png").write_bytes(b"")
    (pictures / "b" / "49.jpg").write_bytes(b"no picture")
    (pictures / "a" / "05.png").unlink()
    (pictures / "a" / "05.png").symlink_to("nowhere.png")
    done = embed(pictures, tmp_path / "out")
    assert [path for path, _ in done.failures] == ["a/00.png", "a/05.png", "b/49.jpg"]
    listed = json.loads((tmp_path / "out" / "failures.json").read_text())
    assert [(entry["path"], entry["reason"]) for entry in listed] == done.failures
    assert "empty (0 bytes)" in listed[0]["reason"]
    names = (tmp_path / "out" / "paths.txt").read_text().splitlines()
    assert len(names) == len(np.load(tmp_path / "out" / "embeddings.npy")) == done.rows == 47
    assert not {"a/00.png", "a/05.png", "b/49.jpg"} & set(names)


def test_names_that_would_not_be_one_line_are_failures_and_odd_ones_are_kept(
    pictures: Path, tmp_path: Path
) -> None:
    odd = ["a b.png", " leading.png", "ünïcödé 图.png", "tab\there.png", "quote'\".png"]
    bad = [
        b"new\nline.png",
        b"return\rhere.png",
        b"separator\xe2\x80\xa8here.png",
        b"no utf\xff.png",
    ]
    source = pictures / "a" / "00.png"
    for name in odd:
        shutil.copy(source, pictures / name)
    for raw in bad:
        shutil.copy(source, pictures / os.fsdecode(raw))
    done = embed(pictures, tmp_path / "out")
    names = (tmp_path / "out" / "paths.txt").read_text(encoding="utf-8").splitlines()
    assert len(names) == done.rows == 55
    assert set(odd) <= set(names)
    assert sorted(os.fsencode(path) for path, _ in done.failures) == sorted(bad)
    assert all("rename it" in reason for _, reason in done.failures)
    assert embed(pictures, tmp_path / "out").failures == done.failures  # read back from the file


def test_a_folder_without_a_readable_picture_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no pictures in it"):
        embed(tmp_path / "empty", tmp_path / "out")
    (tmp_path / "empty" / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"none of its 1 pictures .* first: a\.jpg: .*not a JPEG"):
        embed(tmp_path / "empty", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_bar_is_drawn_on_stderr_only(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    embed_folder(ToyTower(), pictures, tmp_path / "out", show_progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "50/50" in captured.err


# --- again, and with something else ----------------------------------------------------------


def test_a_finished_folder_is_not_computed_again(pictures: Path, tmp_path: Path) -> None:
    (pictures / "a" / "03.png").write_bytes(b"")
    first = embed(pictures, tmp_path / "out")
    before = contents(tmp_path / "out")
    tower = ToyTower()
    again = embed(pictures, tmp_path / "out", tower)
    assert tower.batch_sizes == []
    assert (again.rows, again.width, again.failures) == (first.rows, first.width, first.failures)
    assert again.resumed == 50
    assert contents(tmp_path / "out") == before


def other_weights(pictures: Path) -> ToyTower:
    return ToyTower(seed=1)


def other_preprocessing(pictures: Path) -> ToyTower:
    tower = ToyTower()
    tower.config = ToyConfig(Preprocess(size=16, resize_to=20))
    return tower


def other_numbers(pictures: Path) -> ToyTower:
    tower = ToyTower().double()
    return tower


def one_picture_more(pictures: Path) -> ToyTower:
    shutil.copy(pictures / "a" / "00.png", pictures / "z.png")
    return ToyTower()


def one_picture_changed(pictures: Path) -> ToyTower:
    os.utime(pictures / "a" / "00.png", ns=(0, 0))
    return ToyTower()


def one_picture_renamed(pictures: Path) -> ToyTower:
    (pictures / "a" / "00.png").rename(pictures / "a" / "000.png")
    return ToyTower()


@pytest.mark.parametrize("is_finished", [True, False])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_weights, r"the tower's weights \(toy-0 then, toy-1 now\)"),
        (other_preprocessing, "preprocessing"),
        (other_numbers, r"number type \(float32 then, float64 now\)"),
        (one_picture_more, r"the pictures \(50 then, 51 now\)"),
        (one_picture_changed, "the pictures .*size or time"),
        (one_picture_renamed, "the pictures .*a name"),
    ],
)
def test_what_changed_since_is_named_and_nothing_overwritten(
    pictures: Path, tmp_path: Path, change: Any, said: str, is_finished: bool
) -> None:
    output = tmp_path / "out"
    if is_finished:
        embed(pictures, output)
    else:
        interrupt_after(pictures, output, batches=3)
    kept = contents(output if is_finished else output / "unfinished")
    tower = change(pictures)
    with pytest.raises(ValueError, match=said) as refusal:
        embed(pictures, output, tower)
    assert "another output folder" in str(refusal.value)
    assert tower.batch_sizes == []
    assert contents(output if is_finished else output / "unfinished") == kept


def test_a_damaged_description_is_refused_with_the_next_step(
    pictures: Path, tmp_path: Path
) -> None:
    embed(pictures, tmp_path / "out")
    (tmp_path / "out" / "embedding.json").write_text("{")
    with pytest.raises(ValueError, match=r"embedding\.json: cannot be read.*or delete it"):
        embed(pictures, tmp_path / "out")


def test_two_processes_do_not_write_into_one_folder(pictures: Path, tmp_path: Path) -> None:
    process = start(pictures, tmp_path / "out", seconds_a_batch=0.5)
    try:
        wait_for_batches(tmp_path / "out", 1)
        with pytest.raises(ValueError, match="another process is embedding into it"):
            embed(pictures, tmp_path / "out")
    finally:
        process.kill()
        process.communicate()


# --- interrupted -----------------------------------------------------------------------------


class StopHereError(Exception):
    """Raised by a tower in the middle of a run."""


def interrupt_after(pictures: Path, output: Path, *, batches: int) -> None:
    tower = ToyTower()
    embed_pixels = tower.embed_pixels

    def stopping(pixels: Any) -> Any:
        if len(tower.batch_sizes) == batches:
            raise StopHereError
        return embed_pixels(pixels)

    tower.embed_pixels = stopping  # type: ignore[method-assign]
    with pytest.raises(StopHereError):
        embed(pictures, output, tower)


def test_an_interrupted_run_shows_no_embeddings_and_loses_no_batch(
    pictures: Path, tmp_path: Path
) -> None:
    (pictures / "a" / "02.png").write_bytes(b"")  # in the interrupted half
    (pictures / "b" / "45.jpg").write_bytes(b"")  # in the other one
    embed(pictures, tmp_path / "straight")
    interrupt_after(pictures, tmp_path / "out", batches=5)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["unfinished"]
    tower = ToyTower()
    done = embed(pictures, tmp_path / "out", tower)
    assert done.resumed == 5 * BATCH
    assert sum(tower.batch_sizes) == 50 - 5 * BATCH - 1
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")


def test_killed_again_and_again_it_ends_with_the_same_bytes(pictures: Path, tmp_path: Path) -> None:
    embed(pictures, tmp_path / "straight")
    output = tmp_path / "out"
    for batches in (2, 7):
        process = start(pictures, output)
        wait_for_batches(output, batches)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (output / "embeddings.npy").exists()
    tower = ToyTower()
    done = embed(pictures, output, tower)
    assert done.resumed >= 7 * BATCH
    assert sum(tower.batch_sizes) == 50 - done.resumed
    assert contents(output) == contents(tmp_path / "straight")


def test_killed_at_every_step_of_finishing_it_ends_with_the_same_bytes(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call that changes a file while finishing is, in turn, the one that never happens."""
    embed(pictures, tmp_path / "straight")
    expected = contents(tmp_path / "straight")
    interrupt_after(pictures, tmp_path / "begun", batches=12)
    for step in range(100):
        output = shutil.copytree(tmp_path / "begun", tmp_path / f"out-{step}")
        left = step

        def dying(call: Any) -> Any:
            def counted(*arguments: Any, **named: Any) -> Any:
                nonlocal left
                if left == 0:
                    raise StopHereError
                left -= 1
                return call(*arguments, **named)

            return counted

        with monkeypatch.context() as patch:
            patch.setattr(folder, "write_text", dying(folder.write_text))
            patch.setattr(journal, "_write_at", dying(journal._write_at))
            patch.setattr(os, "fsync", dying(os.fsync))
            patch.setattr(shutil, "rmtree", dying(shutil.rmtree))
            patch.setattr(Path, "replace", dying(Path.replace))
            try:
                embed(pictures, output)
                is_finished = True
            except StopHereError:
                is_finished = False
        if (output / "embeddings.npy").exists():  # then everything else is there too
            assert contents(output) == expected
        embed(pictures, output)
        assert contents(output) == expected
        assert not (output / "unfinished").exists()
        if is_finished:
            break
    assert 8 <= step < 99


def test_ctrl_c_keeps_what_is_done(pictures: Path, tmp_path: Path) -> None:
    embed(pictures, tmp_path / "straight")
    process = start(pictures, tmp_path / "out")
    wait_for_batches(tmp_path / "out", 3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    assert errors.count("Traceback") == 1  # the interrupt itself; no thread complains
    assert "KeyboardInterrupt" in errors.splitlines()[-1]
    assert embed(pictures, tmp_path / "out").resumed >= 3 * BATCH
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")


def test_a_full_disk_is_named_and_loses_nothing(pictures: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: writing beyond it fails in the middle."""
    pytest.importorskip("resource", reason="limits on file sizes are a thing of Unix")
    embed(pictures, tmp_path / "straight")
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (900, 900))\n{SCRIPT}"
    process = subprocess.run(
        [sys.executable, "-c", limited, str(pictures), str(tmp_path / "out"), "0"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    last = process.stderr.splitlines()[-1]
    assert "pictures are done and kept; the same command goes on from there" in last
    assert "OSError" in last
    assert "embeddings.npy" in last
    done = embed(pictures, tmp_path / "out")
    assert 0 < done.resumed < 50
    assert f"{done.resumed} pictures are done" in last
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")
