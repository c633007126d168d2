"""What can be seen in an episode, and what has become of each thing at any moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlcd.core.images import Image
from mlcd.playroom.episodes import Episode, render_frame
from mlcd.playroom.everyday import said
from mlcd.playroom.plays import Event
from mlcd.playroom.relations import PLACES

_SEEN = 0.004
"""Share of a frame that has to be of a thing for it to be recognised there."""
_MARGIN = 0.05
"""Of a frame's side: closer to a border between its ninths a thing is in neither."""

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 as shares of the frame."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Watched:
    """Some frames of an episode, and where each thing is seen in them."""

    episode: Episode
    numbers: tuple[int, ...]
    """Which frames."""
    images: tuple[Image, ...]
    boxes: tuple[tuple[Box | None, ...], ...]
    """Of each frame, of each thing; None where too little of it is seen."""

    def is_seen(self, thing: int, *, least: int = 2) -> bool:
        """Whether at least so many frames show it."""
        return sum(boxes[thing] is not None for boxes in self.boxes) >= least

    @property
    def last(self) -> tuple[Box | None, ...]:
        """Where things are in the last frame."""
        return self.boxes[-1]

    def name(self, thing: int) -> str:
        """What a thing is called, "the red dog"."""
        return said(self.episode.things[thing])


def watch(episode: Episode, numbers: Sequence[int]) -> Watched:
    """Draw these frames."""
    width, height = episode.size
    images: list[Image] = []
    boxes: list[tuple[Box | None, ...]] = []
    for number in numbers:
        image, masks = render_frame(episode, number)
        images.append(image)
        boxes.append(
            tuple(
                None
                if mask is None or mask.sum() < _SEEN * width * height
                else _box(np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1)), width, height)
                for mask in masks
            )
        )
    return Watched(
        episode=episode, numbers=tuple(numbers), images=tuple(images), boxes=tuple(boxes)
    )


def center(box: Box) -> tuple[float, float]:
    """The middle of a box."""
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def place_of(box: Box) -> str | None:
    """The ninth of the frame that the box is in; None when it is too close to another."""
    x, y = center(box)
    if any(abs(value - line) < _MARGIN for value in (x, y) for line in (1 / 3, 2 / 3)):
        return None
    return PLACES[3 * min(2, int(3 * y)) + min(2, int(3 * x))]


@dataclass(slots=True)
class Whereabouts:
    """Who is there, who is in whom, and who is gone, as events go by."""

    there: set[int]
    inside: dict[int, int]

    @classmethod
    def at(cls, episode: Episode, moment_s: float) -> Whereabouts:
        """After all events that were over by then."""
        first: dict[int, Event] = {}
        for event in episode.events:
            first.setdefault(event.thing, event)
        absent = {thing for thing, event in first.items() if event.kind == "appears"}
        found = cls(there=set(range(len(episode.things))) - absent, inside={})
        for event in episode.events:
            if event.stop_s <= moment_s:
                found.take(event)
        return found

    def take(self, event: Event) -> None:
        """What an event changes."""
        if event.kind in ("leaves", "put in"):
            self.there.discard(event.thing)
        else:
            self.there.add(event.thing)
        self.inside.pop(event.thing, None)
        if event.kind == "put in" and event.other is not None:
            self.inside[event.thing] = event.other


def _box(columns: np.ndarray, rows: np.ndarray, width: int, height: int) -> Box:
    return (
        float(columns[0] / width),
        float(rows[0] / height),
        float((columns[-1] + 1) / width),
        float((rows[-1] + 1) / height),
    )
