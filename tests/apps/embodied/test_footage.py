"""What is named on a command line becomes frames: pictures, folders of frames, videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from tests.core.films import break_frame, grey, write_film

from mlcd.apps.embodied.footage import read_footage
from mlcd.apps.embodied.keyframes import Keyframe
from mlcd.core.images import ImageError


def values(frames: list[Keyframe]) -> list[int]:
    """Frame k of a film is as bright as 10 k."""
    return [round(float(np.mean(own.image)) / 10) for own in frames]


def write_frames(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for number, name in enumerate(names):
        PIL.Image.fromarray(grey(10 * number)).save(folder / name)
    return folder


def test_pictures_and_videos_come_in_the_order_they_are_named(tmp_path: Path) -> None:
    film = write_film(tmp_path / "a.mp4", frames=5, rate=5)
    picture = tmp_path / "b.png"
    PIL.Image.fromarray(grey(200)).save(picture)
    found = read_footage([picture, film, picture], most=3)
    assert values(found) == [20, 0, 2, 4, 20]
    assert [own.stamp_s for own in found] == [None, 0, pytest.approx(0.4), pytest.approx(0.8), None]
    assert [own.name for own in found[:2]] == [str(picture), str(film)]


def test_a_video_of_one_frame_is_one_frame(tmp_path: Path) -> None:
    film = write_film(tmp_path / "a.mp4", frames=1, rate=5)
    for choice in ("evenly", "changes"):
        (frame,) = read_footage([film], choice=choice)  # type: ignore[arg-type]
        assert (frame.stamp_s, values([frame])) == (0, [0])


def test_changes_are_found_where_they_are(tmp_path: Path) -> None:
    film = write_film(tmp_path / "a.mp4", frames=20, rate=2, step=12)
    found = read_footage([film], most=4, choice="changes")
    assert len(found) == 4
    assert (found[0].stamp_s, found[-1].stamp_s) == (0, 9.5)
    still = write_film(tmp_path / "b.mp4", frames=20, rate=2, step=0)
    assert [own.stamp_s for own in read_footage([still], choice="changes")] == [0, 9.5]


def test_broken_frames_are_left_out_and_told(tmp_path: Path) -> None:
    film = break_frame(write_film(tmp_path / "a.avi", frames=6, rate=5, codec="mjpeg"), 2)
    told: list[str] = []
    assert values(read_footage([film], tell=told.append)) == [0, 1, 3, 4, 5]
    assert len(told) == 1
    assert "a.avi: 1 broken frame (number 2" in told[0]


def test_a_folder_gives_its_frames_evenly_by_name(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "f", [f"{number:03d}.png" for number in range(9)])
    assert values(read_footage([folder], most=3)) == [0, 4, 8]
    found = read_footage([folder], most=3, choice="changes")
    assert (len(found), values(found)[0], values(found)[-1]) == (3, 0, 8)
    assert [own.stamp_s for own in found] == [None] * 3


def test_an_episodes_depths_are_no_frames(tmp_path: Path) -> None:
    names = [f"{number:05d}-{kind}.png" for kind in ("depth", "rgb") for number in range(4)]
    folder = write_frames(tmp_path / "f", names)
    assert values(read_footage([folder])) == [4, 5, 6, 7]
    (folder / "00002-rgb.png").unlink()
    with pytest.raises(ValueError, match=r"missing between 00001-rgb\.png and"):
        read_footage([folder])


def test_a_series_out_of_order_is_refused_and_photographs_are_not(tmp_path: Path) -> None:
    series = write_frames(tmp_path / "f", [f"{number}.png" for number in range(8, 12)])
    with pytest.raises(ValueError, match=r"11\.png comes before 8\.png by name and not by number"):
        read_footage([series])
    photographs = write_frames(tmp_path / "p", ["cat 9.png", "dog 2.png"])
    assert len(read_footage([photographs])) == 2


def test_what_holds_no_frame_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "no video.mp4").write_bytes(b"no video")
    (tmp_path / "text.txt").write_text("no picture")
    for name, said in {
        "empty": "empty: no pictures in it",
        "no video.mp4": r"no video\.mp4: cannot be read as a video",
        "text.txt": r"text\.txt: not a JPEG",
        "gone.png": r"gone\.png: no such file",
        "gone.mp4": r"gone\.mp4: no such video",
    }.items():
        with pytest.raises(ValueError, match=said):
            read_footage([tmp_path / name])


def test_a_film_whose_frames_are_all_broken_is_an_error(tmp_path: Path) -> None:
    film = write_film(tmp_path / "a.avi", frames=2, rate=5, codec="mjpeg")
    break_frame(film, 1)
    with pytest.raises(ImageError, match="all of the frames that were wanted are broken"):
        read_footage([film], most=1, tell=lambda _: None)


def test_too_few_frames_to_show_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one frame, got 0"):
        read_footage([tmp_path], most=0)
    with pytest.raises(ValueError, match="at least two frames"):
        read_footage([tmp_path], most=1, choice="changes")
