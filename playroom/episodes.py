"""`Episode`: scenes over time, what happens in them, and a camera that moves.

One scene a frame, drawn by the one renderer. A thing keeps its number in every scene of an episode,
also while it is hidden, in another thing, or gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from mlcd.core.images import Image
from mlcd.core.masks import Mask
from mlcd.playroom.everyday import everyday_play, tour_play
from mlcd.playroom.named_scenes import NamedThing
from mlcd.playroom.names import Name, all_names
from mlcd.playroom.plays import Event, Play, View, view_at
from mlcd.playroom.renderer import render
from mlcd.playroom.scenes import Scene
from mlcd.playroom.things import Style

Story = Literal["events", "tour"]
STORIES: tuple[Story, ...] = get_args(Story)
_STREAM = 31


@dataclass(frozen=True, kw_only=True, slots=True)
class Episode:
    """T frames of one world. Scenes are of the whole world; a frame shows the view of it."""

    things: tuple[NamedThing, ...]
    """What may be seen, by number: names, colours, and how they stand at rest."""
    scenes: tuple[Scene, ...]
    """One a frame, all things in each, in this order; those that are not there, outside."""
    views: tuple[View, ...]
    stamps_s: tuple[float, ...]
    """When each frame was seen, from 0."""
    events: tuple[Event, ...]
    """By the time they start."""
    size: tuple[int, int]
    """Width and height of a frame, in pixels."""


def episode(
    seed: int,
    index: int,
    *,
    story: Story = "events",
    style: Style = "noto",
    names: tuple[Name, ...] | None = None,
    num_frames: int = 48,
    frames_per_s: float = 4.0,
    size: tuple[int, int] = (192, 192),
) -> Episode:
    """Episode `index`: a pure function of the seed, its number and the settings.

    "events": things are moved, put into others and taken out again, leave, return and appear, all
    of it in sight. "tour": nothing happens, the camera walks over a wide world.
    """
    if story not in STORIES:
        raise ValueError(f"story {story!r}: expected one of {', '.join(STORIES)}")
    random = np.random.default_rng((seed, _STREAM, STORIES.index(story), index))
    write = everyday_play if story == "events" else tour_play
    play = write(
        random, names=names or all_names(), style=style, length_s=num_frames / frames_per_s
    )
    return film(play, num_frames=num_frames, frames_per_s=frames_per_s, size=size)


def film(play: Play, *, num_frames: int, frames_per_s: float, size: tuple[int, int]) -> Episode:
    """The frames of a play: `size` is their width and height in pixels."""
    if num_frames < 1 or frames_per_s <= 0:
        raise ValueError(
            f"expected at least one frame and a rate above 0, got {num_frames} at {frames_per_s}"
        )
    stamps_s = tuple(number / frames_per_s for number in range(num_frames))
    return Episode(
        things=tuple(actor.named for actor in play.actors),
        scenes=tuple(
            Scene(
                things=tuple(actor.placed_at(stamp_s) for actor in play.actors),
                ground=play.ground,
                light=play.light,
                seed=number,
            )
            for number, stamp_s in enumerate(stamps_s)
        ),
        views=tuple(view_at(play.shots, stamp_s) for stamp_s in stamps_s),
        stamps_s=stamps_s,
        events=tuple(sorted(play.events, key=lambda event: event.start_s)),
        size=size,
    )


def render_frame(episode: Episode, number: int) -> tuple[Image, list[Mask | None]]:
    """One frame, RGB uint8 (H, W, 3), and of each thing its visible pixels: bool (H, W).

    None where no pixel of a thing is seen.
    """
    width, height = episode.size
    view = episode.views[number]
    world = render(episode.scenes[number], round(width / view.share), round(height / view.share))
    x0, y0, _, _ = view.window
    top = min(round(y0 * world.image.shape[0]), world.image.shape[0] - height)
    left = min(round(x0 * world.image.shape[1]), world.image.shape[1] - width)
    window = slice(top, top + height), slice(left, left + width)
    masks = [thing.mask[window].copy() for thing in world.things]
    return world.image[window].copy(), [mask if mask.any() else None for mask in masks]
