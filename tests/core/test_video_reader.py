"""Frames come with stamps and upright; what is broken is left out and said."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests.core.films import break_frame, sound_packets, turn, write_film

from mlcd.core.images import ImageError
from mlcd.core.video import read_frames
from mlcd.core.video_reader import open_video

pytest.importorskip("av")


def test_frames_come_in_order_with_their_stamps(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", frames=6, rate=Fraction(30000, 1001), sound="aac")
    with open_video(path) as video:
        frames = list(video.frames())
        assert (video.width, video.height, video.num_frames) == (48, 32, 6)
        assert video.frames_per_s == Fraction(30000, 1001)
        assert video.has_sound
        assert video.broken.count == 0
        assert video.count_frames() == 6
    assert [frame.number for frame in frames] == list(range(6))
    assert [frame.stamp_s for frame in frames] == pytest.approx([n * 1.001 / 30 for n in range(6)])
    assert [round(frame.image.mean() / 10) for frame in frames] == list(range(6))
    assert frames[0].image.shape == (32, 48, 3)
    assert sound_packets(path)


def test_only_the_wanted_frames_are_made(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", frames=6, rate=5)
    with open_video(path) as video:
        assert [frame.number for frame in video.frames({1, 4})] == [1, 4]


@pytest.mark.parametrize(
    ("turns", "shape", "corner"),
    [
        (0, (32, 48), (0, 0)),
        (1, (48, 32), (0, -1)),
        (2, (32, 48), (-1, -1)),
        (3, (48, 32), (-1, 0)),
    ],
)
def test_a_turned_video_is_read_upright(
    tmp_path: Path, turns: int, shape: tuple[int, int], corner: tuple[int, int]
) -> None:
    """The white corner of the stored picture is where a player would show it."""
    path = turn(write_film(tmp_path / "a.mp4", frames=3, rate=5, corner=12), turns)
    with open_video(path) as video:
        image = next(video.frames()).image
        assert (video.height, video.width) == shape
        assert video.rotation_deg == -90 * turns % 360
    assert image.shape[:2] == shape
    corners = {(y, x): int(image[y, x].mean()) for y in (0, -1) for x in (0, -1)}
    assert max(corners, key=lambda place: corners[place]) == corner
    assert sorted(corners.values())[-2] < 128
    (first,) = read_frames(path, most=1)
    np.testing.assert_array_equal(first, image)


def test_a_broken_frame_is_left_out_and_reported(tmp_path: Path) -> None:
    path = break_frame(write_film(tmp_path / "a.avi", frames=9, rate=5, codec="mjpeg"), 4)
    with open_video(path) as video:
        frames = list(video.frames())
        assert [frame.number for frame in frames] == [0, 1, 2, 3, 5, 6, 7, 8]
        assert frames[4].stamp_s == pytest.approx(1.0)
        assert video.broken.count == 1
        assert str(video.broken).startswith("1 broken frame (number 4")
    with pytest.warns(UserWarning, match="1 broken frame"):
        assert len(read_frames(path, most=9)) == 2  # numbers 0 and 5: one a second


def test_a_film_of_broken_frames_has_none(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.avi", frames=3, rate=5, codec="mjpeg")
    for number in range(3):
        break_frame(path, number)
    with (
        pytest.raises(ImageError, match=r"a\.avi: no frames in it; 3 broken frames"),
        open_video(path),
    ):
        pass


def test_a_file_without_frames_says_so(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as film:
        track = film.add_stream("aac", rate=16_000, layout="mono")
        silence = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        silence.sample_rate = 16_000
        film.mux(track.encode(silence))
        film.mux(track.encode())
    with pytest.raises(ImageError, match="no frames in it"), open_video(path):
        pass
    with pytest.raises(ImageError, match="no frames in it"):
        read_frames(path, most=4)
    write_film(tmp_path / "none.avi", frames=0, rate=5, codec="mjpeg")
    with (
        pytest.raises(ImageError, match="no frames in it"),
        open_video(tmp_path / "none.avi"),
    ):
        pass


def test_a_file_that_is_cut_off_gives_what_is_left_of_it(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.avi", frames=9, rate=5, codec="mjpeg")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 8 // 10])
    with open_video(path) as video:
        numbers = [frame.number for frame in video.frames()]
    assert numbers == list(range(len(numbers)))
    assert 2 <= len(numbers) < 9
