"""A phrase followed through videos of the playroom, with a memory and without.

    python benchmarks/video.py [--model NAME] [--episodes N] [--frames N] [--style noto|fluent]
                               [--least-similarity X] [--least-gap N] [--json FILE]

Four ways: each frame by itself, forced, as the published demo does; each frame by itself, free to
say that nothing is there; with the memory; and the floor, the mask of the first frame repeated.
They take turns by the episode. Goals: the memory at least twice as fast as the forced way; its J&F
at most 2 points below the better of the two ways without memory, and 15 above the floor; the same
thing after an occlusion in 80 %, and "not visible" said in 80 % of the frames that hide it.
Drawing and scoring are not timed.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from mlcd.apps.seg import Segmenter
from mlcd.apps.seg.track import TrackSettings
from mlcd.apps.seg.video import FrameSegmentation, segment_video
from mlcd.apps.seg.video_metrics import VideoScore, score_video
from mlcd.core.masks import Mask
from mlcd.core.video_reader import Frame
from mlcd.playroom.episodes import render_frame
from mlcd.playroom.things import Style
from mlcd.playroom.tracking import CHALLENGES, TrackingEpisode, tracking_episode

FORCED, FREE, MEMORY, FLOOR = "each frame, forced", "each frame, free", "memory", "first repeated"
WAYS = (FORCED, FREE, MEMORY, FLOOR)
Way = Callable[[Sequence[Frame], str], Iterator[FrameSegmentation]]


def drawn(one: TrackingEpisode) -> tuple[list[Frame], list[Mask | None]]:
    """The frames of an episode, and the true mask of its target in each."""
    frames: list[Frame] = []
    masks: list[Mask | None] = []
    for number, stamp_s in enumerate(one.episode.stamps_s):
        image, seen = render_frame(one.episode, number)
        frames.append(Frame(image, stamp_s, number))
        masks.append(seen[one.target])
    return frames, masks


def ways_of(segmenter: Segmenter, settings: TrackSettings) -> dict[str, Way]:
    """How a video is gone through, by name; the floor asks about its first frame alone."""
    return {
        FORCED: lambda frames, phrase: segment_video(segmenter, frames, phrase, force=True),
        FREE: lambda frames, phrase: segment_video(segmenter, frames, phrase),
        MEMORY: lambda frames, phrase: segment_video(
            segmenter, frames, phrase, memory="track", settings=settings
        ),
        FLOOR: lambda frames, phrase: segment_video(segmenter, frames[:1], phrase, force=True),
    }


def measure(
    segmenter: Segmenter, episodes: Sequence[TrackingEpisode], settings: TrackSettings
) -> list[dict[str, Any]]:
    """One row for each way through each episode."""
    rows: list[dict[str, Any]] = []
    for number, one in enumerate(episodes):
        frames, truth = drawn(one)
        for name, way in ways_of(segmenter, settings).items():
            start_s = time.perf_counter()
            found = list(way(frames, one.phrase))
            took_s = time.perf_counter() - start_s
            masks = [frame.mask for frame in found]
            masks += masks[-1:] * (len(frames) - len(masks))  # of the floor
            rows.append(
                {
                    "episode": number,
                    "challenge": one.challenge,
                    "way": name,
                    "took_s": took_s,
                    "asked": sum(frame.source == "asked" for frame in found),
                    "score": score_video(masks, truth),
                }
            )
        print(f"  {number + 1}/{len(episodes)} {one.challenge}: {one.phrase}", flush=True)
    return rows


def share(part: int, whole: int) -> str:
    """A share in percent, with what it is of."""
    return f"{100 * part / whole:5.1f} % of {whole:,}" if whole else "none"


def report(rows: Sequence[dict[str, Any]], num_frames: int) -> None:
    """Print a table of the ways, J&F by challenge, and the goals."""
    total = {name: [row for row in rows if row["way"] == name] for name in WAYS}
    print(f"\n{'':<20}{'J':>7}{'F':>7}{'J&F':>7}{'ms/frame':>10}{'asked':>8}", end="")
    print("  not visible said      same after")
    means: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for name, own in total.items():
        scores: list[VideoScore] = [row["score"] for row in own]
        region, boundary = (
            100 * float(np.mean([getattr(score, field) for score in scores]))
            for field in ("region", "boundary")
        )
        means[name] = (region + boundary) / 2
        seconds[name] = sum(row["took_s"] for row in own)
        asked = sum(row["asked"] for row in own) / (len(own) * num_frames)
        hidden = share(
            sum(score.num_hidden_said for score in scores),
            sum(score.num_hidden for score in scores),
        )
        kept = share(
            sum(score.num_spans_kept for score in scores),
            sum(score.num_spans for score in scores),
        )
        each_ms = 1e3 * seconds[name] / (len(own) * num_frames)
        print(f"{name:<20}{region:7.1f}{boundary:7.1f}{means[name]:7.1f}{each_ms:10.1f}", end="")
        print(f"{100 * asked:7.1f}%  {hidden:<20}  {kept}")
    print(f"\n{'J&F by challenge':<20}" + "".join(f"{name:>12}" for name in CHALLENGES))
    for name, own in total.items():
        cells = []
        for challenge in CHALLENGES:
            values = [row["score"].mean for row in own if row["challenge"] == challenge]
            cells.append(f"{100 * float(np.mean(values)):12.1f}" if values else f"{'-':>12}")
        print(f"{name:<20}" + "".join(cells))
    best = max(means[FORCED], means[FREE])
    print(f"\nspeed: {seconds[FORCED] / seconds[MEMORY]:.2f} times (goal 2)")
    print(f"J&F: {means[MEMORY] - best:+.1f} points of the better way without memory (goal -2)")
    print(f"J&F: {means[MEMORY] - means[FLOOR]:+.1f} points of the floor (goal +15)")


def main() -> None:
    """Draw, follow, score."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mlcd-seg-tiny", help="embedded name, folder or hub id")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--size", type=int, default=192, help="width and height, pixels")
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--style", choices=get_args(Style), default="noto")
    defaults = TrackSettings()
    parser.add_argument("--least-similarity", type=float, default=defaults.least_similarity)
    parser.add_argument("--least-gap", type=int, default=defaults.least_gap)
    parser.add_argument("--most-gap", type=int, default=defaults.most_gap)
    parser.add_argument("--json", type=Path, help="write a row for each way and episode")
    options = parser.parse_args()
    settings = TrackSettings(
        least_similarity=options.least_similarity,
        least_gap=options.least_gap,
        most_gap=options.most_gap,
    )
    segmenter = Segmenter.load(options.model)
    episodes = [
        tracking_episode(
            options.seed,
            index,
            style=options.style,
            num_frames=options.frames,
            size=(options.size, options.size),
        )
        for index in range(options.episodes)
    ]
    print(
        f"{options.model}: {len(episodes)} episodes of {options.frames} frames, style "
        f"{options.style}, torch {torch.__version__}, {torch.get_num_threads()} threads, "
        f"{len(os.sched_getaffinity(0))} cores"
    )
    frames, _ = drawn(episodes[0])
    segmenter.segment(frames[0].image, episodes[0].phrase, force=True)  # warm
    rows = measure(segmenter, episodes, settings)
    report(rows, options.frames)
    if options.json is not None:
        plain = [
            {**row, "score": {name: getattr(row["score"], name) for name in VideoScore.__slots__}}
            for row in rows
        ]
        options.json.write_text(json.dumps(plain, indent=1))


if __name__ == "__main__":
    main()
