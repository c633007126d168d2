"""Places, sides and what hides what are only said where nobody could see it differently."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tests.playroom.hand_made import sight_of, thing

from mlcd.playroom.named_scenes import NamedScenes
from mlcd.playroom.names import all_names
from mlcd.playroom.relations import (
    LEAST_VISIBLE,
    PLACES,
    Side,
    only_one_on_side,
    see,
    side_of,
)

SQUARE = (1.0, 1.0)


@pytest.mark.parametrize(("number", "place"), list(enumerate(PLACES)))
def test_every_ninth_has_its_name(number: int, place: str) -> None:
    row, column = divmod(number, 3)
    sight = sight_of(thing("apple", "red", (column + 0.5) / 3, (row + 0.5) / 3))
    assert sight.things[0].place == place
    assert sight.things[0].owns_place


def test_between_two_ninths_is_no_place() -> None:
    assert sight_of(thing("apple", "red", 1 / 3, 0.5)).things[0].place is None


def test_a_place_with_two_things_belongs_to_none() -> None:
    sight = sight_of(thing("apple", "red", 0.1, 0.1, 0.15), thing("key", "blue", 0.25, 0.25, 0.15))
    assert [one.place for one in sight.things] == ["top left", "top left"]
    assert not any(one.owns_place for one in sight.things)


@pytest.mark.parametrize(
    ("at", "side"),
    [
        ((0.2, 0.5), "left"),
        ((0.8, 0.45), "right"),
        ((0.5, 0.15), "above"),
        ((0.55, 0.9), "below"),
        ((0.2, 0.2), None),
        ((0.75, 0.8), None),
    ],
)
def test_a_side_is_told_along_an_axis_and_not_between_two(
    at: tuple[float, float], side: Side | None
) -> None:
    sight = sight_of(thing("apple", "red", *at), thing("key", "blue", 0.5, 0.5))
    assert side_of(*sight.things, SQUARE) == side


def test_of_things_that_overlap_no_side_is_told() -> None:
    sight = sight_of(
        thing("house", "red", 0.4, 0.5, 0.4), thing("apple", "blue", 0.58, 0.5, 0.2, layer=1)
    )
    assert side_of(sight.things[1], sight.things[0], SQUARE) is None


def test_only_the_single_thing_on_a_side_is_meant() -> None:
    key, apple = thing("key", "blue", 0.5, 0.5), thing("apple", "red", 0.85, 0.5)
    sight = sight_of(key, apple, thing("dog", "green", 0.15, 0.5))
    assert only_one_on_side(sight.things[0], "right", sight.things, SQUARE) is sight.things[1]
    crowded = sight_of(key, apple, thing("dog", "green", 0.8, 0.1))
    assert only_one_on_side(crowded.things[0], "right", crowded.things, SQUARE) is None


def test_what_hides_a_part_is_in_front() -> None:
    house = thing("house", "red", 0.5, 0.5, 0.5)
    front = sight_of(house, thing("apple", "blue", 0.5, 0.6, 0.25, layer=1))
    assert front.only_partner(0, is_front=True) is front.things[1]
    assert front.only_partner(1, is_front=False) is front.things[0]
    assert front.only_partner(1, is_front=True) is None
    apart = sight_of(thing("house", "red", 0.3, 0.3, 0.3), thing("apple", "blue", 0.8, 0.8))
    assert apart.only_partner(0, is_front=True) is None


def test_a_scene_that_hides_a_thing_is_not_used_and_the_shares_are_those_of_the_masks() -> None:
    scenes = NamedScenes(style="noto", names=all_names())
    random = np.random.default_rng(1)
    seen = [see(scene, 96) for _ in range(60) if (scene := scenes.draw(random))]
    kept = [sight for sight in seen if sight is not None]
    assert 0 < len(kept) < len(seen)
    for one in itertools.chain.from_iterable(sight.things for sight in kept):
        assert one.visible_share >= LEAST_VISIBLE
    hidden = [one.visible_share < 1 for sight in kept for one in sight.things]
    assert 0.05 < np.mean(hidden) < 0.6
