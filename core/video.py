"""A video to some of its frames, in order: a file (PyAV, the extra `video`) or a folder of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlcd.core.images import Image, ImageError, ImageSource, list_images
from mlcd.core.optional import require


def read_frames(path: str | Path, *, most: int) -> list[ImageSource]:
    """At most `most` frames, evenly spaced from the first to the last.

    Of a file one frame a second, when that is not more, as LLaVA-NeXT takes them; they come as RGB
    uint8 (H, W, 3). Of a folder the pictures in it, by name, as paths. `ImageError` when there is
    no frame, or the file cannot be read.
    """
    if most < 1:
        raise ValueError(f"expected to read at least one frame, got most={most}")
    path = Path(path)
    if path.is_dir():
        try:
            paths = list_images(path)
        except ValueError as error:
            raise ImageError(f"{path}: a video as a folder of frames: {error}") from error
        return [paths[number] for number in evenly_spaced(len(paths), most)]
    if not path.is_file():
        raise ImageError(f"{path}: no such video")
    return list(_decoded(path, most))


def evenly_spaced(total: int, most: int) -> list[int]:
    """Which of `total` frames: all, or `most` from the first to the last."""
    if total <= most:
        return list(range(total))
    return [int(number) for number in np.linspace(0, total - 1, most)]


def _decoded(path: Path, most: int) -> list[Image]:
    av = require("av", extra="video")
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            total = stream.frames or sum(1 for _ in container.decode(stream))
            second = max(1, round(stream.average_rate or 1))
            each_second = range(0, total, second)
            wanted = set(each_second if len(each_second) <= most else evenly_spaced(total, most))
            container.seek(0)
            frames = [
                frame.to_ndarray(format="rgb24")
                for number, frame in enumerate(container.decode(stream))
                if number in wanted
            ]
    except (av.error.FFmpegError, IndexError) as error:
        raise ImageError(f"{path}: cannot be read as a video: {error}") from error
    if not frames:
        raise ImageError(f"{path}: no frames in it")
    return frames
