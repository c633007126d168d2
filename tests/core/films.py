"""Videos made by the tests that need them: grey frames that get brighter, some with trouble."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def grey(value: int, width: int = 48, height: int = 32) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def write_film(
    path: Path,
    frames: int,
    rate: Fraction | int,
    *,
    sound: str | None = None,
    codec: str = "mpeg4",
    corner: int = 0,
    step: int = 10,
) -> Path:
    """Frame k is as bright as `step` k, with a white square of `corner` pixels top left."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as film:
        pictures = film.add_stream(codec, rate=rate)
        pictures.width, pictures.height = 48, 32
        pictures.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        track = film.add_stream(sound, rate=16_000, layout="mono") if sound else None
        if track is not None:
            track.bit_rate = 32_000
        film.start_encoding()  # so that one without frames is a file as well
        for number in range(frames):
            image = grey(step * number)
            image[:corner, :corner] = 255
            film.mux(pictures.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        film.mux(pictures.encode())
        if track is not None:
            _add_sound(av, film, track, int(16_000 * frames / rate))
    return path


def _add_sound(av: Any, film: Any, track: Any, num_samples: int) -> None:
    for start in range(0, num_samples, 1024):
        tone = np.sin(np.arange(start, start + 1024) / 5).astype(np.float32)[None] / 4
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16_000, start, Fraction(1, 16_000)
        film.mux(track.encode(frame))
    film.mux(track.encode())


def turn(path: Path, quarter_turns_clockwise: int) -> Path:
    """Write into the header of an mp4 that players have to turn it."""
    matrices = {
        0: (1, 0, 0, 1),
        1: (0, 1, -1, 0),
        2: (-1, 0, 0, -1),
        3: (0, -1, 1, 0),
    }
    a, b, c, d = (value << 16 for value in matrices[quarter_turns_clockwise])
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40  # version 0: flags, times, id, duration, layer, volume
    data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def break_frame(path: Path, number: int) -> Path:
    """Overwrite the packet of one frame with what is no picture."""
    av = pytest.importorskip("av")
    with av.open(str(path)) as film:
        packets = [packet for packet in film.demux(video=0) if packet.size]
        position, size = packets[number].pos, packets[number].size
    data = bytearray(path.read_bytes())
    data[position : position + size] = b"\xff" * size
    path.write_bytes(data)
    return path


def sound_packets(path: Path) -> list[tuple[float, bytes]]:
    av = pytest.importorskip("av")
    with av.open(str(path)) as film:
        return [
            (float(packet.pts * packet.time_base), bytes(packet))
            for packet in film.demux(audio=0)
            if packet.pts is not None
        ]
