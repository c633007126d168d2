"""`Scene`: the one description of a picture of the embedded world.

`renderer` draws it, writers read it. Places and sizes are shares of the picture, so that one scene
can be drawn at any size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mlcd.playroom.things import Style, Thing

Colour = tuple[int, int, int]
GroundKind = Literal["plain", "gradient", "stripes", "checks", "noise", "patches", "photo"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ground:
    """What lies behind the things: a rendered pattern, or a window of a photograph."""

    kind: GroundKind = "plain"
    colours: tuple[Colour, ...] = ((255, 255, 255),)
    scale: float = 0.25
    """Size of one stripe, check, patch or blob, as a share of the picture's shorter side."""
    angle_deg: float = 0.0
    seed: int = 0
    photo: Path | None = None
    window: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    """The part of the photograph that is used: x0, y0, x1, y1 as shares of it."""

    def __post_init__(self) -> None:
        if (self.kind == "photo") != (self.photo is not None):
            raise ValueError(f"a ground has a photo exactly when its kind is 'photo': {self}")
        if not self.colours:
            raise ValueError("a ground needs at least one colour")


@dataclass(frozen=True, kw_only=True, slots=True)
class Light:
    """How the scene is lit; the default changes nothing."""

    brightness: float = 1.0
    contrast: float = 1.0
    warmth: float = 0.0
    """Share by which red gains and blue loses."""
    slope: float = 0.0
    """Difference of brightness from one side of the picture to the other."""
    slope_deg: float = 0.0
    noise: float = 0.0
    """Standard deviation of the sensor's noise, of 255."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacedThing:
    """One thing in a scene."""

    thing: Thing
    style: Style
    center: tuple[float, float] = (0.5, 0.5)
    """x, y as shares of the picture's width and height."""
    size: float = 0.8
    """Side of its square, as a share of the picture's shorter side."""
    rotation_deg: float = 0.0
    """Counter-clockwise."""
    is_mirrored: bool = False
    is_flipped: bool = False
    stretch: float = 1.0
    """Its width over its height, beyond its own, at the same area."""
    hue_shift: float = 0.0
    """Turns of the colour circle: 0 leaves its own colours, 0.5 gives their opposites."""
    tint: Colour | None = None
    """The one colour that it is drawn in, from dark to light; its own colours when left out."""
    layer: int = 0
    """Higher layers hide lower ones; equal ones are drawn in the order of the scene."""

    def __post_init__(self) -> None:
        if self.size <= 0 or self.stretch <= 0:
            raise ValueError(
                f"size and stretch must be above 0, got {self.size} and {self.stretch}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """Everything that is in one picture."""

    things: tuple[PlacedThing, ...] = ()
    ground: Ground = field(default_factory=Ground)
    light: Light = field(default_factory=Light)
    blur: float = 0.0
    """Standard deviation of the blur, as a share of the picture's shorter side."""
    seed: int = 0
    """Of the sensor's noise."""
