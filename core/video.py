"""A video to some of its frames, in order: a file (PyAV, the extra `video`) or a folder of them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from mlcd.core.images import Image, ImageError, ImageSource, list_images
from mlcd.core.video_reader import open_video


def read_frames(path: str | Path, *, most: int) -> list[ImageSource]:
    """At most `most` frames, evenly spaced from the first to the last.

    Of a file one frame a second, when that is not more, as LLaVA-NeXT takes them; they come upright
    as RGB uint8 (H, W, 3). Of a folder the pictures in it, by name, as paths. `ImageError` when
    there is no frame, or the file cannot be read; a warning for frames that are broken.
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
    return list(_decoded(path, most))


def evenly_spaced(total: int, most: int) -> list[int]:
    """Which of `total` frames: all, or `most` from the first to the last."""
    if total <= most:
        return list(range(total))
    return [int(number) for number in np.linspace(0, total - 1, most)]


def _decoded(path: Path, most: int) -> list[Image]:
    with open_video(path) as video:
        total = video.num_frames or video.count_frames()
        second = max(1, round(video.frames_per_s))
        each_second = range(0, total, second)
        wanted = set(each_second if len(each_second) <= most else evenly_spaced(total, most))
        frames = [frame.image for frame in video.frames(wanted)]
        if video.broken.count:
            warnings.warn(f"{path}: {video.broken} left out", stacklevel=3)
    if not frames:
        raise ImageError(f"{path}: all of the frames that were wanted are broken")
    return frames
