"""Frames with stamps into a video file, with the sound of another carried along (PyAV).

The stamps are kept, so that sound and pictures stay together also where frames are missing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mlcd.core.files import atomic_path
from mlcd.core.images import Image
from mlcd.core.optional import require

Write = Callable[[Image, float], None]
"""Takes a frame, RGB uint8 (H, W, 3), and its stamp in seconds, later than the one before."""

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
_CODECS = ("libx264", "h264", "mpeg4")
"""The first that this FFmpeg can write."""
_TICKS_PER_S = 60_000
"""Stamps are whole numbers of these: exact at 24, 25, 30, 50, 60 and 30000/1001 a second, and not
more than the 65,535 that MPEG-4 allows."""


@contextlib.contextmanager
def write_video(
    path: str | Path,
    *,
    width: int,
    height: int,
    frames_per_s: Fraction | float,
    sound_from: str | Path | None = None,
) -> Iterator[Write]:
    """Give the function that takes the frames; the file is there when the block ends well.

    `sound_from`: a video whose sound is copied as it is, up to the end of the pictures or a little
    further. ValueError for a file name that says no format, a sound that the format cannot hold, or
    a block that wrote no frame; nothing is left behind then. An odd width or height is made even by
    repeating the last column or row, since the pictures are stored with colours at half size.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"{path}: expected a name that ends with one of {', '.join(FORMATS)}")
    av = require("av", extra="video")
    with contextlib.ExitStack() as stack:
        part = stack.enter_context(atomic_path(path))
        sound = stack.enter_context(av.open(str(sound_from))) if sound_from is not None else None
        out = stack.enter_context(av.open(str(part), "w", format=FORMATS[path.suffix.lower()]))
        film = _Film(path, out, (width, height), Fraction(frames_per_s), sound)
        yield film.write
        film.finish()


class _Film:
    """A file that is being written."""

    def __init__(
        self, path: Path, out: Any, size: tuple[int, int], frames_per_s: Fraction, sound: Any
    ) -> None:
        self._av: Any = require("av", extra="video")
        self._path, self._out, self._size = path, out, size
        codec = next(name for name in _CODECS if _can_write(self._av, name))
        stream = out.add_stream(codec, rate=frames_per_s.limit_denominator(1001))
        stream.width, stream.height = size[0] + size[0] % 2, size[1] + size[1] % 2
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, _TICKS_PER_S)
        if codec == "mpeg4":  # its default would show blocks
            stream.bit_rate = max(4 * size[0] * size[1], 1_000_000)
        else:
            stream.options = {"crf": "18"}  # the loss is not seen
        self._pictures = stream
        self._last_ticks: int | None = None
        self._sound, self._sound_packets = None, iter(())
        if sound is not None and sound.streams.audio:
            source = sound.streams.audio[0]
            self._sound_packets = sound.demux(source)
            self._sound = _copied_stream(self._av, path, out, source)
        self._waiting: Any = None

    def write(self, image: Image, stamp_s: float) -> None:
        """Append a frame."""
        width, height = self._size
        if image.shape != (height, width, 3) or image.dtype != np.uint8:
            raise ValueError(
                f"a frame of {image.dtype} {image.shape} for a video of uint8 {(height, width, 3)}"
            )
        ticks = round(stamp_s * _TICKS_PER_S)
        if self._last_ticks is not None and ticks <= self._last_ticks:
            raise ValueError(f"a frame at {stamp_s} s after one that is not earlier")
        self._last_ticks = ticks
        even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        frame.pts, frame.time_base = ticks, Fraction(1, _TICKS_PER_S)
        self._copy_sound(until_s=stamp_s)
        self._out.mux(self._pictures.encode(frame))

    def finish(self) -> None:
        """Write what the encoder holds back, and the sound of the last frame."""
        if self._last_ticks is None:
            raise ValueError(f"{self._path}: no frame was written")
        self._out.mux(self._pictures.encode())
        self._copy_sound(until_s=self._last_ticks / _TICKS_PER_S + 1.0)

    def _copy_sound(self, until_s: float) -> None:
        """The packets that begin before `until_s`."""
        while self._sound is not None:
            packet = self._waiting or next(self._sound_packets, None)
            self._waiting = None
            if packet is None or packet.pts is None:  # the last, an empty one
                self._sound = None
            elif float(packet.pts * packet.time_base) >= until_s:
                self._waiting = packet
                return
            else:
                packet.stream = self._sound
                self._out.mux(packet)


def _can_write(av: Any, codec: str) -> bool:
    try:
        av.Codec(codec, "w")
    except ValueError:  # UnknownCodecError is one
        return False
    return True


def _copied_stream(av: Any, path: Path, out: Any, source: Any) -> Any:
    """A track that takes the packets of `source` as they are."""
    name = source.codec_context.name
    try:
        stream = out.add_stream_from_template(source)
        out.start_encoding()
    except (av.error.FFmpegError, ValueError) as error:
        raise ValueError(
            f"{path}: sound of the kind {name} does not fit into {path.suffix} ({error}); "
            "write an .mkv"
        ) from error
    return stream
