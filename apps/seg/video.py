"""A phrase through a video: frames in, one result a frame out, as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from mlcd.apps.seg.memory import Memory, PromptMemory
from mlcd.apps.seg.segmenter import Segmenter
from mlcd.apps.seg.track import Source, Track, TrackSettings
from mlcd.core.masks import Mask
from mlcd.core.video_reader import Frame

MemoryKind = Literal["none", "track"]


@dataclass(frozen=True, slots=True, eq=False)
class FrameSegmentation:
    """What a phrase is in one frame of H x W pixels."""

    number: int
    stamp_s: float
    is_visible: bool
    mask: Mask | None
    """bool (H, W); None where it is not visible."""
    score: float
    """How sure it is of the pixels, 0 to 1; 0 where it is not visible."""
    source: Source
    """Whether the language model was asked about this frame."""
    text: str
    """What it wrote; "" where it was not asked."""


def segment_video(
    segmenter: Segmenter,
    frames: Iterable[Frame],
    phrase: str,
    *,
    memory: MemoryKind | Memory = "none",
    force: bool = False,
    settings: TrackSettings | None = None,
) -> Iterator[FrameSegmentation]:
    """Follow a phrase: results come as the frames do, and no frame is kept.

    memory: "none" asks about each frame by itself; with `force` that is the published demo, which
    never says that a thing is not there. "track" keeps to one thing and leaves the language model
    out while it is sure of it, on the segmenter's own SAM; or give a memory, as `Sam2Memory`. A
    memory is for one video, and cannot be forced: ValueError. So is an empty phrase, at the first
    frame.
    """
    if memory == "none":
        return _each_by_itself(segmenter, frames, phrase, force)
    if force:
        raise ValueError("force and a memory exclude each other: a track may lose its object")
    own = PromptMemory(segmenter.model) if memory == "track" else memory
    if isinstance(own, str):
        raise ValueError(f"memory {own!r}: expected 'none', 'track' or a memory")
    return _followed(Track(segmenter, phrase, own, settings), frames)


def _each_by_itself(
    segmenter: Segmenter, frames: Iterable[Frame], phrase: str, force: bool
) -> Iterator[FrameSegmentation]:
    for frame in frames:
        found = segmenter.segment(frame.image, phrase, force=force)
        yield FrameSegmentation(
            frame.number,
            frame.stamp_s,
            found.is_present,
            found.mask,
            found.score,
            "asked",
            found.text,
        )


def _followed(track: Track, frames: Iterable[Frame]) -> Iterator[FrameSegmentation]:
    for frame in frames:
        seen = track.see(frame.image)
        yield FrameSegmentation(
            frame.number,
            frame.stamp_s,
            seen.mask is not None,
            seen.mask,
            seen.score,
            seen.source,
            seen.text,
        )
