"""Episodes to follow one thing through, by a phrase that means it in every frame.

Beside it there is always a twin: a thing of the same name in another colour. What makes it hard is
the challenge: it moves; something hides all of it for a while; the twin crosses its way; it leaves
the picture and comes back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, get_args

import numpy as np

from mlcd.playroom.episodes import Episode, film
from mlcd.playroom.everyday import said
from mlcd.playroom.named_scenes import NamedScene, NamedScenes, NamedThing, Wish, stands_out
from mlcd.playroom.names import Name, all_names
from mlcd.playroom.plays import (
    Actor,
    Event,
    Key,
    Play,
    Point,
    between,
    calm_shots,
)
from mlcd.playroom.things import STYLES, Style, sprite
from mlcd.playroom.tints import NAMED_COLOURS

Challenge = Literal["motion", "occlusion", "crossing", "return"]
CHALLENGES: tuple[Challenge, ...] = get_args(Challenge)

TARGET, TWIN = 0, 1
"""Numbers of the thing that is followed and of its twin."""
_OCCLUDER = 2

_STREAM = 41
_TRIES = 400
_SMALLEST, _LARGEST = 0.16, 0.24
_HIDING_SIZE = 2.3
"""Of what hides the target, in sizes of the target: its solid middle is larger than that one."""
_SMALLER = 0.75
"""The size of a target that is to be hidden, of others: what hides it leaves room beside it."""
_SOLID = 0.24
"""Of a sprite's side, beside the middle that has to be solid."""
_LEAST_HIDDEN, _MOST_HIDDEN = 0.16, 0.26
"""How long the target stays away, of the length: 16 frames of 100 at least."""
_SIGHT = 0.85
"""Share of the world that the camera sees at least; what happens stays in there."""
_NEAR, _FAR = 0.2, 0.8


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackingEpisode:
    """An episode, and which of its things a phrase means."""

    episode: Episode
    phrase: str
    target: int
    challenge: Challenge


def tracking_episode(
    seed: int,
    index: int,
    *,
    challenge: Challenge | None = None,
    style: Style = "noto",
    names: tuple[Name, ...] | None = None,
    num_frames: int = 100,
    frames_per_s: float = 10.0,
    size: tuple[int, int] = (192, 192),
) -> TrackingEpisode:
    """Episode `index`: a pure function of the seed, its number and the settings.

    The challenges take turns by the index when none is given.
    """
    challenge = challenge or CHALLENGES[index % len(CHALLENGES)]
    if challenge not in CHALLENGES:
        raise ValueError(f"challenge {challenge!r}: expected one of {', '.join(CHALLENGES)}")
    random = np.random.default_rng((seed, _STREAM, CHALLENGES.index(challenge), index))
    length_s = num_frames / frames_per_s
    cast, scene = _cast(random, names or all_names(), style, challenge)
    actors, events = _SCRIPTS[challenge](random, cast, length_s)
    play = Play(
        actors=tuple(actors),
        shots=calm_shots(random, length_s, least_share=_SIGHT),
        events=tuple(events),
        length_s=length_s,
        ground=scene.scene.ground,
        light=scene.scene.light,
    )
    return TrackingEpisode(
        episode=film(play, num_frames=num_frames, frames_per_s=frames_per_s, size=size),
        phrase=said(cast[TARGET]),
        target=TARGET,
        challenge=challenge,
    )


Script = Callable[[np.random.Generator, list[NamedThing], float], tuple[list[Actor], list[Event]]]


def _motion(
    random: np.random.Generator, cast: list[NamedThing], length_s: float
) -> tuple[list[Actor], list[Event]]:
    """The target wanders, near and far; so does its twin, more slowly."""
    actors = [_wandering(random, cast[TARGET], length_s, 6, growth=0.35)]
    actors += [_wandering(random, thing, length_s, 3, growth=0.15) for thing in cast[TWIN:]]
    name = said(cast[TARGET])
    event = Event(
        kind="moved", start_s=0.0, stop_s=length_s, thing=TARGET, text=f"{name} moves about"
    )
    return actors, [event]


def _occlusion(
    random: np.random.Generator, cast: list[NamedThing], length_s: float
) -> tuple[list[Actor], list[Event]]:
    """The target goes behind something large, waits there, and comes out again."""
    start_s, stop_s = _away(random, length_s)
    middle = (float(random.uniform(0.4, 0.6)), float(random.uniform(0.4, 0.6)))
    come, go = _sides(random, middle)
    walk_s = 0.18 * length_s
    target = Actor(
        named=cast[TARGET],
        keys=(
            Key(at_s=0.0, center=(come[0], come[1] + float(random.uniform(-0.1, 0.1)))),
            Key(at_s=max(0.0, start_s - walk_s), center=come),
            Key(at_s=start_s, center=middle),
            Key(at_s=stop_s, center=middle),
            Key(at_s=min(length_s, stop_s + walk_s), center=go),
            Key(at_s=length_s, center=(go[0], go[1] + float(random.uniform(-0.1, 0.1)))),
        ),
    )
    hiding = Actor(named=cast[_OCCLUDER], keys=(Key(at_s=0.0, center=middle),))
    twin = _wandering(random, cast[TWIN], length_s, 3, growth=0.1)
    text = f"{said(cast[_OCCLUDER])} hides {said(cast[TARGET])}"
    event = Event(
        kind="hidden", start_s=start_s, stop_s=stop_s, thing=TARGET, other=_OCCLUDER, text=text
    )
    return [target, twin, hiding], [event]


def _crossing(
    random: np.random.Generator, cast: list[NamedThing], length_s: float
) -> tuple[list[Actor], list[Event]]:
    """Target and twin pass each other, closely, twice."""
    middle = (float(random.uniform(0.4, 0.6)), float(random.uniform(0.4, 0.6)))
    left, right = _sides(random, middle)
    aside = (float(random.uniform(-0.05, 0.05)), float(random.uniform(-0.05, 0.05)))
    turns = [0.0, 0.45 * length_s, 0.55 * length_s, length_s]
    ways = {
        TARGET: (left, right, right, left),
        TWIN: tuple((x + aside[0], y + aside[1]) for x, y in (right, left, left, right)),
    }
    actors = [
        Actor(
            named=cast[number],
            keys=tuple(Key(at_s=at, center=c) for at, c in zip(turns, way, strict=True)),
        )
        for number, way in sorted(ways.items())
    ]
    actors += [_wandering(random, thing, length_s, 3, growth=0.1) for thing in cast[_OCCLUDER:]]
    text = f"{said(cast[TWIN])} passes {said(cast[TARGET])}"
    events = [
        Event(
            kind="passed by",
            start_s=start_s,
            stop_s=stop_s,
            thing=TARGET,
            other=TWIN,
            text=text,
        )
        for start_s, stop_s in ((turns[0], turns[1]), (turns[2], turns[3]))
    ]
    return actors, events


def _return(
    random: np.random.Generator, cast: list[NamedThing], length_s: float
) -> tuple[list[Actor], list[Event]]:
    """The target leaves at one side and comes back, where it left or at the other side."""
    start_s, stop_s = _away(random, length_s)
    walk_s = 0.18 * length_s
    inside, back = (
        (float(random.uniform(0.35, 0.65)), float(random.uniform(0.25, 0.75))) for _ in range(2)
    )
    exit_x, entry_x = (1.3 if random.random() < 0.5 else -0.3 for _ in range(2))
    target = Actor(
        named=cast[TARGET],
        keys=(
            Key(at_s=0.0, center=_near(random, inside)),
            Key(at_s=max(0.0, start_s - walk_s), center=inside),
            Key(at_s=start_s, center=(exit_x, inside[1])),
            Key(at_s=start_s, center=None),
            Key(at_s=stop_s, center=(entry_x, back[1])),
            Key(at_s=min(length_s, stop_s + walk_s), center=back),
            Key(at_s=length_s, center=_near(random, back)),
        ),
    )
    others = [_wandering(random, thing, length_s, 3, growth=0.1) for thing in cast[TWIN:]]
    name = said(cast[TARGET])
    events = [
        Event(
            kind="leaves",
            start_s=max(0.0, start_s - walk_s),
            stop_s=start_s,
            thing=TARGET,
            text=f"{name} leaves",
        ),
        Event(
            kind="returns",
            start_s=stop_s,
            stop_s=min(length_s, stop_s + walk_s),
            thing=TARGET,
            text=f"{name} returns",
        ),
    ]
    return [target, *others], events


_SCRIPTS: dict[Challenge, Script] = {
    "motion": _motion,
    "occlusion": _occlusion,
    "crossing": _crossing,
    "return": _return,
}


@cache
def solid_names() -> tuple[Name, ...]:
    """Names of what hides anything behind its middle half, in every style."""
    return tuple(name for name in all_names() if all(_is_solid(name, style) for style in STYLES))


def _is_solid(name: Name, style: Style) -> bool:
    alpha = np.asarray(sprite(name.thing, style))[..., 3] > 127
    edge = round(_SOLID * len(alpha))
    return bool(alpha[edge:-edge, edge:-edge].all())


def _cast(
    random: np.random.Generator, names: tuple[Name, ...], style: Style, challenge: Challenge
) -> tuple[list[NamedThing], NamedScene]:
    """Target, twin and one or two others, all tinted; an occlusion has what hides the target."""
    scenes = NamedScenes(style=style, names=names, least=3, most=4, natural_share=0.0)
    for _ in range(_TRIES):
        wishes: list[Wish] = []
        if challenge == "occlusion":
            solid = [name for name in solid_names() if name in names]
            wishes = [Wish(name=solid[int(random.integers(len(solid)))], state="upright")]
        scene = scenes.draw(random, wishes)
        if scene is None:
            continue
        texts = [thing.name.text for thing in scene.things]
        if len(set(texts)) < len(texts):
            continue
        first = len(wishes)
        target = scene.things[first]
        colours = _other_colours(scene, target)
        if not colours:
            continue
        colour = colours[int(random.integers(len(colours)))]
        size = float(random.uniform(_SMALLEST, _LARGEST)) * (_SMALLER if wishes else 1.0)
        is_behind = bool(random.random() < 0.5)
        cast = [_as(target, size=size, layer=1)]
        twin = _as(target, size=size * float(random.uniform(0.85, 1.15)), layer=2 * is_behind)
        twin = replace(twin, colour=colour, placed=replace(twin.placed, tint=NAMED_COLOURS[colour]))
        cast.append(twin)
        if wishes:
            cast.append(_as(scene.things[0], size=_HIDING_SIZE * size, layer=3))
            return cast, scene
        others = scene.things[first + 1 : first + 3]
        cast += [
            _as(other, size=float(random.uniform(_SMALLEST, _LARGEST)), layer=-1)
            for other in others
        ]
        return cast, scene
    raise ValueError(f"{len(names)} names are too few for an episode of the kind {challenge}")


def _other_colours(scene: NamedScene, target: NamedThing) -> list[str]:
    """Colours that stand out from the ground of the scene and are not the target's."""
    return [
        colour
        for colour, tint in NAMED_COLOURS.items()
        if colour != target.colour and stands_out(tint, scene.scene.ground)
    ]


def _as(thing: NamedThing, *, size: float, layer: int) -> NamedThing:
    return replace(thing, placed=replace(thing.placed, size=size, layer=layer))


def _wandering(
    random: np.random.Generator,
    thing: NamedThing,
    length_s: float,
    num_places: int,
    *,
    growth: float,
) -> Actor:
    """From place to place, all of them in sight, growing and shrinking by up to `growth`."""
    keys = tuple(
        Key(
            at_s=length_s * number / (num_places - 1),
            center=_somewhere(random),
            scale=float(np.exp(random.uniform(-growth, growth))),
        )
        for number in range(num_places)
    )
    return Actor(named=thing, keys=keys)


def _somewhere(random: np.random.Generator) -> Point:
    return float(random.uniform(_NEAR, _FAR)), float(random.uniform(_NEAR, _FAR))


def _near(random: np.random.Generator, point: Point) -> Point:
    """A place a little towards somewhere else."""
    return between(point, _somewhere(random), 0.25)


def _away(random: np.random.Generator, length_s: float) -> tuple[float, float]:
    """From when to when the target is not there."""
    lasts_s = length_s * float(random.uniform(_LEAST_HIDDEN, _MOST_HIDDEN))
    start_s = length_s * float(random.uniform(0.3, 0.45))
    return start_s, start_s + lasts_s


def _sides(random: np.random.Generator, middle: Point) -> tuple[Point, Point]:
    """Two places on opposite sides of one, in sight, in either order."""
    angle = float(random.uniform(-0.5, 0.5))
    reach = 0.38
    dx, dy = reach * float(np.cos(angle)), reach * float(np.sin(angle))
    sides = [(middle[0] - dx, middle[1] - dy), (middle[0] + dx, middle[1] + dy)]
    first, second = (
        (min(max(x, _NEAR - 0.06), _FAR + 0.06), min(max(y, _NEAR), _FAR)) for x, y in sides
    )
    return (first, second) if random.random() < 0.5 else (second, first)
