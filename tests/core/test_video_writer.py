"""A film keeps rate, stamps and sound, and is either whole or not there."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests.core.films import grey, sound_packets, write_film

from mlcd.core.video_reader import open_video
from mlcd.core.video_writer import write_video

pytest.importorskip("av")


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(24), Fraction(50)])
@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mov"])
def test_rate_stamps_pictures_and_sound_are_kept(
    tmp_path: Path, rate: Fraction, ending: str
) -> None:
    source = write_film(tmp_path / "a.mp4", frames=20, rate=rate, sound="aac")
    copy = tmp_path / f"b{ending}"
    with (
        open_video(source) as video,
        write_video(
            copy, width=48, height=32, frames_per_s=video.frames_per_s, sound_from=source
        ) as write,
    ):
        frames = list(video.frames())
        for frame in frames:
            write(frame.image, frame.stamp_s)
    with open_video(copy) as video:
        copied = list(video.frames())
        assert float(video.frames_per_s) == pytest.approx(float(rate), rel=2e-3)
    tolerance = 1.1e-3 if ending == ".mkv" else 1e-5  # Matroska counts milliseconds
    was, now = sound_packets(source), sound_packets(copy)
    assert [packet for _, packet in was] == [packet for _, packet in now]
    # Matroska lets nothing begin before zero, as this sound does: pictures and sound move together.
    shift_s = now[0][0] - was[0][0]
    assert abs(shift_s) < (0.07 if ending == ".mkv" else 1e-5)
    for kept, stamps in (
        ([frame.stamp_s for frame in copied], [frame.stamp_s for frame in frames]),
        ([stamp for stamp, _ in now], [stamp for stamp, _ in was]),
    ):
        assert kept == pytest.approx([stamp + shift_s for stamp in stamps], abs=tolerance)
    for one, other in zip(frames, copied, strict=True):
        assert abs(one.image.mean() - other.image.mean()) < 3


def test_a_gap_in_the_frames_stays_a_gap(tmp_path: Path) -> None:
    with write_video(tmp_path / "a.mp4", width=48, height=32, frames_per_s=10) as write:
        for number in (0, 1, 2, 6, 7):
            write(grey(20 * number), number / 10)
    with open_video(tmp_path / "a.mp4") as video:
        stamps = [frame.stamp_s for frame in video.frames()]
    assert stamps == pytest.approx([0, 0.1, 0.2, 0.6, 0.7])


def test_odd_sizes_are_made_even(tmp_path: Path) -> None:
    with write_video(tmp_path / "a.mp4", width=33, height=21, frames_per_s=10) as write:
        write(grey(100, 33, 21), 0.0)
    with open_video(tmp_path / "a.mp4") as video:
        assert (video.width, video.height) == (34, 22)


def test_an_interrupted_film_is_not_there(tmp_path: Path) -> None:
    def interrupted() -> None:
        with write_video(tmp_path / "a.mp4", width=48, height=32, frames_per_s=10) as write:
            write(grey(3), 0.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    def attempt(name: str, *frames: tuple[np.ndarray, float], sound: Path | None = None) -> None:
        with write_video(
            out / name, width=48, height=32, frames_per_s=10, sound_from=sound
        ) as write:
            for image, stamp_s in frames:
                write(image, stamp_s)

    out = tmp_path / "out"
    with pytest.raises(ValueError, match=r"ends with one of \.mp4"):
        attempt("a.txt")
    with pytest.raises(ValueError, match="no frame was written"):
        attempt("a.mp4")
    with pytest.raises(ValueError, match="after one that is not earlier"):
        attempt("a.mp4", (grey(0), 0.5), (grey(0), 0.5))
    with pytest.raises(ValueError, match=r"a frame of uint8 \(8, 8, 3\)"):
        attempt("a.mp4", (grey(0, 8, 8), 0.5))
    source = write_film(tmp_path / "a.wmv", frames=4, rate=10, sound="wmav2")
    with pytest.raises(ValueError, match=r"wmav2 does not fit into \.mp4 .*write an \.mkv"):
        attempt("a.mp4", (grey(0), 0.0), sound=source)
    assert list(out.iterdir()) == []
