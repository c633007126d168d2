"""A video file as a stream of frames with their stamps, upright, one at a time (PyAV).

A frame that cannot be decoded is left out and told to `Video.broken`; the stamps of the others stay
what they are. Choosing a few frames of many is in `video.py`, writing in `video_writer.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlcd.core.images import Image, ImageError
from mlcd.core.optional import require

_MOST_REASONS = 20


class Frame(NamedTuple):
    """One picture of a video."""

    image: Image
    """RGB uint8 (H, W, 3), as a player shows it: turned as the file asks for."""
    stamp_s: float
    number: int
    """Counted from 0, broken frames included."""


@dataclass(slots=True)
class Broken:
    """What could not be decoded."""

    count: int = 0
    reasons: list[str] = field(default_factory=list)
    """Of the first of them: number, stamp, and what the decoder said."""

    def add(self, number: int, frame: Any, problem: str) -> None:
        """Count one; `frame` is PyAV's, None where nothing came out."""
        self.count += 1
        if len(self.reasons) < _MOST_REASONS:
            at = "" if frame is None or frame.time is None else f" at {float(frame.time):.2f} s"
            self.reasons.append(f"number {number}{at}: {problem}")

    def __str__(self) -> str:
        shown = "; ".join(self.reasons[:3])
        more = ", ..." if self.count > 3 else ""
        return f"{self.count} broken {'frame' if self.count == 1 else 'frames'} ({shown}{more})"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Video:
    """An open video."""

    path: Path
    width: int
    """Of the upright picture, in pixels."""
    height: int
    rotation_deg: int
    """Counter-clockwise quarter turns that were applied to the stored pictures: 0, 90, 180, 270."""
    frames_per_s: Fraction
    """The mean rate; stamps need not be evenly spaced."""
    num_frames: int | None
    """As the file says; None where it does not."""
    has_sound: bool
    broken: Broken
    """Filled while frames are read."""
    container: Any
    """PyAV's."""

    def frames(self, wanted: Collection[int] | None = None) -> Iterator[Frame]:
        """Every frame by time, or those of the `wanted` numbers; one is kept at a time."""
        stream = self.container.streams.video[0]
        self.container.seek(0)
        for number, (frame, problem) in enumerate(_decoded(self.container, stream)):
            if problem is not None:
                self.broken.add(number, frame, problem)
            elif wanted is None or number in wanted:
                yield Frame(self._upright(frame), float(frame.time or 0.0), number)

    def count_frames(self) -> int:
        """How many frames there are, broken ones included; reads the whole file."""
        self.container.seek(0)
        return sum(1 for _ in _decoded(self.container, self.container.streams.video[0]))

    def _upright(self, frame: Any) -> Image:
        image: Image = frame.to_ndarray(format="rgb24")
        return np.ascontiguousarray(np.rot90(image, self.rotation_deg // 90))


@contextlib.contextmanager
def open_video(path: str | Path) -> Iterator[Video]:
    """An open video file. `ImageError` when it cannot be read, or has no frames."""
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"{path}: no such video")
    av = require("av", extra="video")
    try:
        container = av.open(str(path))
    except av.error.FFmpegError as error:
        raise ImageError(f"{path}: cannot be read as a video: {error}") from error
    with container:
        if not container.streams.video:
            raise ImageError(f"{path}: no frames in it: the file has no track of pictures")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        rotation_deg = _rotation_deg(path, container, stream)
        width, height = stream.codec_context.width, stream.codec_context.height
        if not width or not height:
            raise ImageError(f"{path}: no frames in it: its pictures have no size")
        if rotation_deg % 180:
            width, height = height, width
        yield Video(
            path=path,
            width=width,
            height=height,
            rotation_deg=rotation_deg,
            frames_per_s=stream.average_rate or stream.guessed_rate or Fraction(25),
            num_frames=stream.frames or None,
            has_sound=bool(container.streams.audio),
            broken=Broken(),
            container=container,
        )


def _decoded(container: Any, stream: Any) -> Iterator[tuple[Any, str | None]]:
    """Each frame, and what is wrong with it; the frame is None where nothing came out."""
    av = require("av", extra="video")
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:  # the file ends before it should
            yield None, f"the file cannot be read on: {error.strerror}"
            return
        if packet is None:
            return
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            yield None, str(error.strerror)
            continue
        for frame in frames:
            yield frame, "the decoder had to guess a part of it" if frame.is_corrupt else None


def _rotation_deg(path: Path, container: Any, stream: Any) -> int:
    """Quarter turns, counter-clockwise, from the matrix that comes with the first whole frame.

    `ImageError` when there is no such frame.
    """
    broken = Broken()
    for number, (frame, problem) in enumerate(_decoded(container, stream)):
        if problem is None:
            turn = int(frame.rotation)
            if turn % 90:
                raise ImageError(f"{path}: turned by {turn} degrees; expected quarter turns")
            return turn % 360
        broken.add(number, frame, problem)
    raise ImageError(f"{path}: no frames in it{f'; {broken}' if broken.count else ''}")
