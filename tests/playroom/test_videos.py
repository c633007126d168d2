"""Videos are written as DAVIS has them: what is read back is what was drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from mlcd.cli.main import main
from mlcd.core.rle import decode_rle
from mlcd.core.video_reader import open_video
from mlcd.playroom.episodes import render_frame
from mlcd.playroom.tracking import tracking_episode
from mlcd.playroom.videos import VideoSet, write_videos

SMALL = {"num_frames": 12, "width": 64, "height": 48}


def test_masks_phrases_and_events_are_those_of_the_episode(tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    root = tmp_path / "videos"
    written = write_videos(
        root, VideoSet(count=2, seed=3, **SMALL), on_video=lambda *step: done.append(step)
    )
    assert (written.videos, written.frames, done) == (2, 24, [(1, 2), (2, 2)])
    names = (root / "ImageSets" / "val.txt").read_text().split()
    assert names == ["0000-motion", "0001-occlusion"]
    one = tracking_episode(3, 1, num_frames=12, size=(64, 48))
    image, masks = render_frame(one.episode, 5)
    painted = PIL.Image.open(root / "Annotations" / names[1] / "00005.png")
    assert painted.mode == "P"
    for number, mask in enumerate(masks):
        expected = np.zeros((48, 64), bool) if mask is None else mask
        np.testing.assert_array_equal(np.asarray(painted) == number + 1, expected)
    picture = np.asarray(PIL.Image.open(root / "JPEGImages" / names[1] / "00005.jpg"), float)
    assert np.abs(picture - image).mean() < 6
    expressions = json.loads((root / "meta_expressions.json").read_text())["videos"][names[1]]
    assert expressions["expressions"] == {"0": {"exp": one.phrase, "obj_id": "1"}}
    assert len(expressions["frames"]) == 12
    document = json.loads((root / "episodes.json").read_text())[names[1]]
    assert document["challenge"] == "occlusion"
    assert document["events"][0]["thing"] == 1
    assert document["events"][0]["other"] == 3
    assert document["things"]["1"]["name"] in one.phrase
    assert document["stamps_s"] == list(one.episode.stamps_s)


def test_masks_may_be_run_lengths(tmp_path: Path) -> None:
    root = tmp_path / "videos"
    write_videos(root, VideoSet(count=1, masks="runs", **SMALL))
    runs = json.loads((root / "Annotations" / "0000-motion.json").read_text())
    one = tracking_episode(0, 0, num_frames=12, size=(64, 48))
    for thing, mask in enumerate(render_frame(one.episode, 7)[1]):
        stored = runs[str(thing + 1)][7]
        assert (stored is None) == (mask is None)
        if mask is not None:
            np.testing.assert_array_equal(decode_rle(stored), mask)


def test_there_is_a_film_of_each(tmp_path: Path) -> None:
    pytest.importorskip("av")
    assert write_videos(tmp_path / "videos", VideoSet(count=1, **SMALL)).has_films
    with open_video(tmp_path / "videos" / "Videos" / "0000-motion.mp4") as video:
        frames = list(video.frames())
    assert [frame.stamp_s for frame in frames] == pytest.approx([n / 10 for n in range(12)])
    image, _ = render_frame(tracking_episode(0, 0, num_frames=12, size=(64, 48)).episode, 4)
    assert np.abs(frames[4].image.astype(float) - image).mean() < 8


def test_the_command_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "set"
    command = ["data", "playroom", "videos", "-o", str(folder), "--json"]
    command += ["--count", "1", "--frames", "4", "--size", "48"]
    assert not main(command)
    document = json.loads(capsys.readouterr().out)
    assert (document["videos"], document["frames"]) == (1, 4)
    assert len(list((folder / "JPEGImages" / "0000-motion").iterdir())) == 4
    assert main(command) == 1
    assert "not empty" in capsys.readouterr().err
    with pytest.raises(ValueError, match="at least one video"):
        VideoSet(count=0)
