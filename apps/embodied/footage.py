"""What a user names on a command line, as frames: pictures, folders of frames and video files."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

from mlcd.apps.embodied.keyframes import Keyframe, Keyframes
from mlcd.core.datasets.openeqa import SUFFIX, check_frame_order, episode_frames, sample_frames
from mlcd.core.images import ImageError, list_images, read_image
from mlcd.core.video_reader import Video, open_video

Choice = Literal["evenly", "changes"]
"""Which frames of a video: evenly over it, as OpenEQA's evaluation, or those where what is seen
changes (`Keyframes`)."""

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".wmv", ".flv"}
)


def read_footage(
    paths: Sequence[str | Path],
    *,
    most: int = 32,
    choice: Choice = "evenly",
    tell: Callable[[str], None] = warnings.warn,
) -> list[Keyframe]:
    """The frames of all paths, one after the other: pictures whole, of each video or folder of
    frames at most `most`.

    Frames of a folder come by name. `tell` hears of broken frames, which are left out. `ImageError`
    or ValueError when a path is none of these, holds no frame, or its frames are out of order.
    """
    if most < 1:
        raise ValueError(f"expected to show at least one frame, got {most}")
    if choice not in get_args(Choice):
        raise ValueError(f"choice {choice!r}: expected one of {', '.join(get_args(Choice))}")
    if choice == "changes" and most < 2:
        raise ValueError("the changes of a video are at least two frames: show more, or evenly")
    found: list[Keyframe] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += _of_folder(path, most, choice)
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            found += _of_video(path, most, choice, tell)
        else:
            found.append(Keyframe(read_image(path), name=str(path)))
    return found


def _of_folder(folder: Path, most: int, choice: Choice) -> list[Keyframe]:
    if any(folder.glob(f"*{SUFFIX}")):  # an episode of OpenEQA, with depths beside its frames
        paths = episode_frames(folder.parent, folder.name)
    else:
        paths = list_images(folder)
        if len({(path.parent, re.sub(r"\d+\D*$", "", path.stem)) for path in paths}) == 1:
            check_frame_order(paths, allow_gaps=True)  # one series, not photographs of all kinds
    if choice == "changes":
        memory = Keyframes(most, min_gap_s=0)  # frames of a folder have an order and no times
        for number, path in enumerate(paths):
            memory.see(path, number, name=str(path))
        return [own._replace(stamp_s=None) for own in memory.frames()]
    shown = [paths[number] for number in sample_frames(len(paths), most)]
    return [Keyframe(read_image(path), name=str(path)) for path in shown]


def _of_video(path: Path, most: int, choice: Choice, tell: Callable[[str], None]) -> list[Keyframe]:
    with open_video(path) as video:
        found = _changes(video, most) if choice == "changes" else _evenly(video, most)
        if video.broken.count:
            tell(f"{path}: {video.broken} left out")
    if not found:
        raise ImageError(f"{path}: all of the frames that were wanted are broken")
    return found


def _evenly(video: Video, most: int) -> list[Keyframe]:
    total = video.num_frames or video.count_frames()
    wanted = set(sample_frames(total, most))
    return [Keyframe(own.image, own.stamp_s, str(video.path)) for own in video.frames(wanted)]


def _changes(video: Video, most: int) -> list[Keyframe]:
    memory = Keyframes(most)
    for frame in video.frames():
        memory.see(frame.image, frame.stamp_s, name=str(video.path))
    return memory.frames()
