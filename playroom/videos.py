"""Writes tracking episodes as videos with their true masks, in the layout of DAVIS.

`JPEGImages/NAME/00000.jpg`, `Annotations/NAME/00000.png` (palette pictures whose value is the
number of a thing, 0 where there is none), `ImageSets/val.txt`, and the phrases in
`meta_expressions.json` as Ref-YouTube-VOS has them. Beside those `Videos/NAME.mp4` where PyAV is
installed, and `episodes.json`: stamps, events, things.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL.Image

from mlcd.core.files import atomic_folder
from mlcd.core.masks import Mask
from mlcd.core.rle import encode_mask
from mlcd.core.video_writer import write_video
from mlcd.playroom.episodes import render_frame
from mlcd.playroom.things import Style
from mlcd.playroom.tracking import TrackingEpisode, tracking_episode

MaskFormat = Literal["png", "runs"]
_COLOURS = (0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128, 128, 0, 128, 0, 128, 128)
"""RGB of the values 0 to 6, as DAVIS paints them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoSet:
    """What is written."""

    count: int = 20
    """Videos; the challenges take turns."""
    seed: int = 0
    style: Style = "noto"
    num_frames: int = 100
    frames_per_s: float = 10.0
    width: int = 192
    height: int = 192
    masks: MaskFormat = "png"
    """Pictures, or COCO's run lengths in one `Annotations/NAME.json` a video."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"expected at least one video, got {self.count}")


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenVideos:
    """What was written."""

    videos: int
    frames: int
    has_films: bool
    """Whether there are mp4 files, too."""


def write_videos(
    folder: Path, videos: VideoSet, on_video: Callable[[int, int], None] | None = None
) -> WrittenVideos:
    """Write `folder`, all of it or nothing. `on_video(done, total)` reports.

    FileExistsError when it is there and not empty.
    """
    has_films = find_spec("av") is not None
    with atomic_folder(folder) as part:
        expressions: dict[str, Any] = {}
        episodes: dict[str, Any] = {}
        for index in range(videos.count):
            one = tracking_episode(
                videos.seed,
                index,
                style=videos.style,
                num_frames=videos.num_frames,
                frames_per_s=videos.frames_per_s,
                size=(videos.width, videos.height),
            )
            name = f"{index:04d}-{one.challenge}"
            _write_episode(part, name, one, videos, has_films=has_films)
            expressions[name] = _expressions(one)
            episodes[name] = _document(one)
            if on_video is not None:
                on_video(index + 1, videos.count)
        (part / "ImageSets").mkdir()
        (part / "ImageSets" / "val.txt").write_text("".join(f"{name}\n" for name in episodes))
        for file, document in (
            ("meta_expressions.json", {"videos": expressions}),
            ("episodes.json", episodes),
        ):
            (part / file).write_text(json.dumps(document, indent=1), encoding="utf-8")
    return WrittenVideos(
        videos=videos.count, frames=videos.count * videos.num_frames, has_films=has_films
    )


def _write_episode(
    root: Path, name: str, one: TrackingEpisode, videos: VideoSet, *, has_films: bool
) -> None:
    pictures, annotations = root / "JPEGImages" / name, root / "Annotations" / name
    pictures.mkdir(parents=True)
    annotations.parent.mkdir(exist_ok=True)
    frames = [render_frame(one.episode, number) for number in range(len(one.episode.scenes))]
    for number, (image, _) in enumerate(frames):
        PIL.Image.fromarray(image).save(pictures / f"{number:05d}.jpg", quality=95)
    if videos.masks == "png":
        annotations.mkdir()
        for number, (image, masks) in enumerate(frames):
            _painted(masks, image.shape[:2]).save(annotations / f"{number:05d}.png")
    else:
        runs = {
            str(thing + 1): [_runs(masks[thing]) for _, masks in frames]
            for thing in range(len(one.episode.things))
        }
        annotations.with_suffix(".json").write_text(json.dumps(runs), encoding="utf-8")
    if has_films:
        with write_video(
            root / "Videos" / f"{name}.mp4",
            width=videos.width,
            height=videos.height,
            frames_per_s=videos.frames_per_s,
        ) as write:
            for (image, _), stamp_s in zip(frames, one.episode.stamps_s, strict=True):
                write(image, stamp_s)


def _runs(mask: Mask | None) -> dict[str, Any] | None:
    return None if mask is None else encode_mask(mask)


def _painted(masks: Sequence[Mask | None], shape: tuple[int, ...]) -> PIL.Image.Image:
    """One picture of all masks, which do not overlap: thing k has the value k + 1."""
    values = np.zeros(shape, np.uint8)
    for number, mask in enumerate(masks):
        if mask is not None:
            values[mask] = number + 1
    picture = PIL.Image.fromarray(values)
    picture.putpalette(_COLOURS)
    return picture


def _expressions(one: TrackingEpisode) -> dict[str, Any]:
    return {
        "expressions": {"0": {"exp": one.phrase, "obj_id": str(one.target + 1)}},
        "frames": [f"{number:05d}" for number in range(len(one.episode.scenes))],
    }


def _document(one: TrackingEpisode) -> dict[str, Any]:
    return {
        "challenge": one.challenge,
        "phrase": one.phrase,
        "target": one.target + 1,
        "things": {
            str(number + 1): {
                "name": thing.name.text,
                "colour": thing.colour,
                "category": thing.name.category,
            }
            for number, thing in enumerate(one.episode.things)
        },
        "stamps_s": list(one.episode.stamps_s),
        "events": [
            {
                **asdict(event),
                "thing": event.thing + 1,
                "other": None if event.other is None else event.other + 1,
            }
            for event in one.episode.events
        ],
    }
