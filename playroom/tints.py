"""Colours that have a name, and how a thing is drawn in one of them.

A tinted thing keeps its drawing, light and dark, and loses its own colours, so that what it is
called says nothing about its colour.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mlcd.playroom.scenes import Colour
from mlcd.playroom.things import Style, Thing, sprite

NAMED_COLOURS: dict[str, Colour] = {
    "red": (214, 30, 36),
    "orange": (245, 130, 20),
    "yellow": (246, 216, 30),
    "green": (40, 158, 62),
    "blue": (36, 96, 222),
    "purple": (126, 52, 178),
    "pink": (248, 112, 184),
    "brown": (112, 66, 36),
}
"""What tinted things are called, and the middle of what they look like."""

_DARKEST = 0.3
_LIGHTEST = 0.75
_LUMINANCE = np.asarray([0.299, 0.587, 0.114], np.float32) / 255


def tinted(colour: NDArray[np.float32], tint: Colour, middle: float) -> NDArray[np.float32]:
    """`colour`, (h, w, 3) in 0..255, in shades of `tint`; luminance `middle` becomes the tint."""
    light = np.clip(colour @ _LUMINANCE, 0, 1)[..., None]  # (h, w, 1)
    below = np.minimum(light / middle, 1)
    above = np.maximum((light - middle) / (1 - middle), 0)
    full = np.asarray(tint, np.float32)
    dark = full * (_DARKEST + (1 - _DARKEST) * below)
    return np.asarray(dark + (255 - full) * (_LIGHTEST * above), np.float32)


@lru_cache(maxsize=4096)
def middle_luminance(thing: Thing, style: Style) -> float:
    """The luminance around which a thing's drawing is balanced: its median, kept off the ends."""
    art = np.asarray(sprite(thing, style), np.float32)  # (S, S, 4)
    light = art[..., :3][art[..., 3] > 127] @ _LUMINANCE
    return float(np.clip(np.median(light), 0.1, 0.9))
