"""A video file with a phrase followed through it: the film with overlays, and the track as JSON."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mlcd.apps.seg.memory import Memory
from mlcd.apps.seg.overlay import draw_overlay
from mlcd.apps.seg.segmenter import Segmenter
from mlcd.apps.seg.video import FrameSegmentation, MemoryKind, segment_video
from mlcd.core.images import Image
from mlcd.core.masks import mask_box
from mlcd.core.rle import encode_mask
from mlcd.core.video_reader import Frame, Video, open_video
from mlcd.core.video_writer import write_video


def segment_film(
    segmenter: Segmenter,
    source: Path,
    phrase: str,
    target: Path | None = None,
    *,
    memory: MemoryKind | Memory = "track",
    force: bool = False,
    on_frame: Callable[[int, int | None], None] | None = None,
) -> dict[str, Any]:
    """Follow a phrase through a file; write it with overlays to `target`; the track as JSON values.

    The film keeps rate, stamps and sound, and is there when all of it is. One frame is kept at a
    time. `on_frame(done, total)`: the total is None where the file does not say. Errors are those
    of `open_video`, `write_video` and `segment_video`; ValueError when both files are the same.
    """
    if target is not None and target.resolve() == source.resolve():
        raise ValueError(f"{target}: would replace the video that is read; choose another name")
    frames: list[dict[str, Any]] = []
    with open_video(source) as video, _film(video, target) as draw:
        last: list[Frame] = []
        found = segment_video(
            segmenter, _noting(video.frames(), last), phrase, memory=memory, force=force
        )
        for seen in found:
            draw(last[0].image, seen)
            frames.append(frame_document(seen))
            if on_frame is not None:
                on_frame(len(frames), video.num_frames)
        return {
            "video": str(source),
            "phrase": phrase,
            "width": video.width,
            "height": video.height,
            "frames_per_s": float(video.frames_per_s),
            "broken_frames": video.broken.count,
            "broken": list(video.broken.reasons),
            "frames": frames,
        }


def frame_document(seen: FrameSegmentation) -> dict[str, Any]:
    """What a frame says, as JSON values; box and mask (COCO's run lengths) null if not visible."""
    return {
        "number": seen.number,
        "stamp_s": seen.stamp_s,
        "is_visible": seen.is_visible,
        "score": seen.score,
        "source": seen.source,
        "box": None if seen.mask is None else mask_box(seen.mask),
        "mask": None if seen.mask is None else encode_mask(seen.mask),
    }


def _noting(frames: Iterator[Frame], last: list[Frame]) -> Iterator[Frame]:
    """The frames, the latest of them in `last`: a result follows its frame at once."""
    for frame in frames:
        last[:] = [frame]
        yield frame


@contextlib.contextmanager
def _film(
    video: Video, target: Path | None
) -> Iterator[Callable[[Image, FrameSegmentation], None]]:
    """Give the function that writes a frame with its overlay; it does nothing without a target."""
    if target is None:
        yield lambda _image, _seen: None
        return
    with write_video(
        target,
        width=video.width,
        height=video.height,
        frames_per_s=video.frames_per_s,
        sound_from=video.path if video.has_sound else None,
    ) as write:
        yield lambda image, seen: write(draw_overlay(image, seen.mask), seen.stamp_s)
