"""Scenes made by hand, for tests that must know what is in a picture."""

from __future__ import annotations

from mlcd.playroom.named_scenes import NamedScene, NamedThing, State
from mlcd.playroom.names import name_of
from mlcd.playroom.relations import Sight, see
from mlcd.playroom.scenes import PlacedThing, Scene
from mlcd.playroom.tints import NAMED_COLOURS

_TURNS = {"upright": 0.0, "tilted": 45.0, "on its side": 90.0, "upside down": 180.0}


def thing(
    text: str,
    colour: str | None,
    x: float,
    y: float,
    size: float = 0.2,
    state: State = "upright",
    layer: int = 0,
) -> NamedThing:
    """A thing whose middle is at (x, y), shares of a square picture."""
    name = name_of(text)
    placed = PlacedThing(
        thing=name.thing,
        style="noto",
        center=(x, y),
        size=size,
        rotation_deg=_TURNS[state],
        tint=NAMED_COLOURS[colour] if colour else None,
        layer=layer,
    )
    return NamedThing(
        name=name, colour=colour, state=state if name.has_upright else None, placed=placed
    )


def sight_of(*things: NamedThing, size: int = 128) -> Sight:
    """The things on white, seen; nothing may be hidden too much."""
    scene = Scene(things=tuple(one.placed for one in things))
    sight = see(NamedScene(scene=scene, things=things, shape=(1.0, 1.0)), size)
    assert sight is not None
    return sight
