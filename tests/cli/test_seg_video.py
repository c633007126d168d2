"""`mlcd seg video`: a film with overlays, rate and sound; a document; nothing by half."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.apps.seg.toy_seg import trained_seg
from tests.core.films import break_frame, sound_packets, turn, write_film

from mlcd.apps.seg import Segmenter, film
from mlcd.apps.seg.loading import save_seg
from mlcd.cli.main import main
from mlcd.core.rle import decode_rle
from mlcd.core.video_reader import open_video

pytest.importorskip("av")
RATE = Fraction(30000, 1001)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "seg"
    save_seg(trained_seg(), folder)
    return str(folder)


def run(model: str, source: Path, *words: str) -> int:
    return main(["seg", "video", str(source), "-p", "cat", "--model", model, *words])


def brightness(image: np.ndarray) -> np.ndarray:
    return np.asarray(image @ np.asarray([0.299, 0.587, 0.114]))


@pytest.mark.parametrize("memory", ["track", "none"])
def test_the_film_keeps_rate_and_sound_and_has_overlays(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], memory: str
) -> None:
    source = write_film(tmp_path / "a.mp4", frames=6, rate=RATE, sound="aac", step=30)
    target = tmp_path / "b.mp4"
    force = ["--force"] if memory == "none" else []
    words = ["-o", str(target), "--json", "--memory", memory, *force]
    assert run(model, source, *words) == 0
    track = json.loads(capsys.readouterr().out)
    assert [frame["number"] for frame in track["frames"]] == list(range(6))
    assert (track["width"], track["height"], track["broken_frames"]) == (48, 32, 0)
    with open_video(source) as video, open_video(target) as written:
        frames, drawn = list(video.frames()), list(written.frames())
        assert written.frames_per_s == RATE
    assert [packet for _, packet in sound_packets(source)] == [
        packet for _, packet in sound_packets(target)
    ]
    assert len(drawn) == 6
    if memory == "none":
        expected = Segmenter.load(model).segment(frames[3].image, "cat", force=True)
        assert expected.mask is not None
        np.testing.assert_array_equal(decode_rle(track["frames"][3]["mask"]), expected.mask)
    for frame, image in zip(track["frames"], drawn, strict=True):
        mask = frame["mask"]
        shown = None if mask is None else decode_rle(mask)
        overlay = film.draw_overlay(frames[frame["number"]].image, shown)
        # Colours are stored at half size, and the toy's mask is made of single pixels.
        written, plain = brightness(image.image), brightness(frames[frame["number"]].image)
        loss = np.abs(brightness(overlay) - written).mean()
        assert loss < 0.5 * np.abs(plain - written).mean()


def test_a_turned_video_with_a_broken_frame_is_followed(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = turn(write_film(tmp_path / "a.mp4", frames=7, rate=5, codec="mpeg4"), 1)
    break_frame(source, 3)
    target = tmp_path / "b.mp4"
    assert run(model, source, "-o", str(target)) == 0
    said = capsys.readouterr()
    assert "1 broken frames left out: number 3" in said.err
    assert "of 6 frames; the language model was asked about" in said.out
    with open_video(target) as video:
        assert (video.width, video.height, video.rotation_deg) == (32, 48, 0)
        stamps = [frame.stamp_s for frame in video.frames()]
    assert stamps == pytest.approx([0, 0.2, 0.4, 0.8, 1.0, 1.2])


def test_an_interrupted_film_leaves_nothing(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_film(tmp_path / "a.mp4", frames=6, rate=5)
    out = tmp_path / "out"
    drawn: list[Any] = []

    def interrupted(image: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        drawn.append(mask)
        if len(drawn) == 4:
            raise KeyboardInterrupt
        return image

    monkeypatch.setattr(film, "draw_overlay", interrupted)
    assert run(model, source, "-o", str(out / "b.mp4")) == 130
    assert len(drawn) == 4
    assert list(out.iterdir()) == []


def test_what_cannot_be_done_is_said_in_one_line(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_film(tmp_path / "a.mp4", frames=3, rate=5)
    before = source.read_bytes()
    for words, message in (
        ([], "name a film with -o"),
        (["-o", str(source)], "would replace the video that is read"),
        (["-o", str(tmp_path / "b.gif")], "ends with one of .mp4"),
        (["--json", "--force"], "exclude each other"),
        (["--json", "--memory", "none", "--sam2", "x"], "--sam2 is a memory"),
    ):
        assert run(model, source, *words) == 1
        error = capsys.readouterr().err
        assert message in error
        assert len(error.strip().splitlines()) == 1
    assert source.read_bytes() == before
    empty = write_film(tmp_path / "none.avi", frames=0, rate=5, codec="mjpeg")
    assert run(model, empty, "--json") == 1
    assert "no frames in it" in capsys.readouterr().err
