"""Scenes of named things: how many, how large, what meets, and the same for the same seed."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from mlcd.playroom.arrangement import LARGEST, NAMEABLE, SMALLEST
from mlcd.playroom.named_scenes import STATES, NamedScene, NamedScenes, Wish
from mlcd.playroom.names import all_names, name_of

SCENES = NamedScenes(style="noto", names=all_names())


def drawn(count: int, scenes: NamedScenes = SCENES, seed: int = 0) -> list[NamedScene]:
    random = np.random.default_rng(seed)
    found = [scenes.draw(random) for _ in range(count)]
    return [scene for scene in found if scene is not None]


def test_scenes_hold_three_to_eight_things_of_four_to_sixty_percent() -> None:
    scenes = drawn(300)
    counts = {len(scene.things) for scene in scenes}
    sizes = [thing.placed.size for scene in scenes for thing in scene.things]
    assert counts == set(range(3, 9))
    assert min(sizes) >= SMALLEST == 0.04
    assert max(sizes) <= LARGEST == 0.6
    assert min(sizes) < 0.06
    assert max(sizes) > 0.5


def test_no_two_things_in_a_scene_could_be_taken_for_each_other() -> None:
    for scene in drawn(200):
        texts = {thing.name.text for thing in scene.things}
        assert not any(texts & thing.name.lookalikes for thing in scene.things)


def test_a_name_does_not_tell_a_colour() -> None:
    colours: dict[str, Counter[str]] = {name.text: Counter() for name in all_names()}
    for scene in drawn(1500):
        for thing in scene.things:
            if thing.colour is not None:
                colours[thing.name.text][thing.colour] += 1
    assert all(len(found) >= 5 for found in colours.values())
    assert all(max(found.values()) < 0.5 * found.total() for found in colours.values())


def test_either_everything_is_tinted_or_nothing() -> None:
    scenes = drawn(200)
    for scene in scenes:
        assert len({thing.colour is None for thing in scene.things}) == 1
        for thing in scene.things:
            assert (thing.placed.tint is None) == (thing.colour is None)
    assert 0.2 < np.mean([scene.is_natural for scene in scenes]) < 0.4


def test_the_state_is_how_the_thing_is_turned() -> None:
    for scene in drawn(100):
        for thing in scene.things:
            turn = abs(math.remainder(thing.placed.rotation_deg, 360))
            if thing.name.has_upright:
                nearest = min(
                    STATES,
                    key=lambda s: (
                        abs(turn - 45 * STATES.index(s)) if s != "upside down" else abs(turn - 180)
                    ),
                )
                assert thing.state == nearest
            else:
                assert thing.state is None
                assert turn <= 16


def test_things_stay_within_the_picture() -> None:
    for scene in drawn(100):
        for thing in scene.things:
            half = thing.placed.size / 2
            for center, side in zip(thing.placed.center, scene.shape, strict=True):
                assert half - 1e-9 <= center * side <= side - half + 1e-9


def test_a_wish_is_granted() -> None:
    random = np.random.default_rng(0)
    wish = Wish(name=name_of("dog"), colour="blue", state="upside down")
    granted = [scene for _ in range(50) if (scene := SCENES.draw(random, (wish,)))]
    assert len(granted) > 25
    for scene in granted:
        dog = scene.things[0]
        assert (dog.name.text, dog.colour, dog.state) == ("dog", "blue", "upside down")
        assert dog.placed.size >= NAMEABLE


def test_the_same_seed_gives_the_same_scenes() -> None:
    assert drawn(20, seed=4) == drawn(20, seed=4)
    assert drawn(20, seed=4) != drawn(20, seed=5)


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="1 <= least <= most"):
        NamedScenes(style="noto", names=all_names(), least=4, most=3)
