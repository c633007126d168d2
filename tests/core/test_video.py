"""Frames come evenly from the first to the last, from files and from folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from tests.core.films import grey, write_film

from mlcd.core.images import ImageError
from mlcd.core.video import evenly_spaced, read_frames


def values(path: Path, most: int) -> list[int]:
    return [round(float(np.mean(frame)) / 10) for frame in read_frames(path, most=most)]  # type: ignore[arg-type]


def test_a_short_film_gives_a_frame_a_second(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mp4", frames=20, rate=4)
    assert values(tmp_path / "a.mp4", most=32) == [0, 4, 8, 12, 16]


def test_a_longer_one_gives_as_many_as_are_wanted(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mp4", frames=20, rate=1)
    assert values(tmp_path / "a.mp4", most=3) == [0, 9, 19]


def test_a_folder_gives_its_pictures_by_name(tmp_path: Path) -> None:
    for number in range(12):
        PIL.Image.fromarray(grey(number)).save(tmp_path / f"{number:02d}.png")
    frames = read_frames(tmp_path, most=4)
    assert [Path(str(frame)).name for frame in frames] == ["00.png", "03.png", "07.png", "11.png"]


def test_places_are_evenly_spaced() -> None:
    assert evenly_spaced(3, 8) == [0, 1, 2]
    assert evenly_spaced(9, 3) == [0, 4, 8]
    assert evenly_spaced(5, 1) == [0]


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("av")
    (tmp_path / "a.mp4").write_bytes(b"no video")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match=r"a\.mp4: cannot be read as a video"):
        read_frames(tmp_path / "a.mp4", most=4)
    with pytest.raises(ImageError, match="no such video"):
        read_frames(tmp_path / "b.mp4", most=4)
    with pytest.raises(ImageError, match="no pictures in it"):
        read_frames(tmp_path / "empty", most=4)
    with pytest.raises(ValueError, match="at least one frame"):
        read_frames(tmp_path / "a.mp4", most=0)
