"""The things are the ones that were promised, and tested ones are never trained on."""

from __future__ import annotations

import hashlib

import pytest

from mlcd.playroom.things import (
    STYLES,
    all_things,
    scene_things,
    sprite,
    test_things,
    training_things,
)

held_out = test_things  # pytest would collect a name that begins with test_
del test_things


def test_the_archive_holds_the_promised_numbers_of_things() -> None:
    assert len(scene_things()) == 849
    assert len(held_out()) == 424
    assert len(training_things()) == 1428
    assert len({thing.code for thing in all_things()}) == len(all_things())


def test_a_thing_is_held_out_exactly_when_the_hash_of_its_name_is_even() -> None:
    for thing in scene_things():
        is_even = int(hashlib.sha1(thing.name.encode()).hexdigest(), 16) % 2 == 0
        assert thing.is_test == is_even


def test_no_held_out_thing_is_in_training_by_name_or_picture() -> None:
    held, trained = held_out(), training_things()
    assert not {thing.name for thing in held} & {thing.name for thing in trained}
    assert not {thing.code for thing in held} & {thing.code for thing in trained}


@pytest.mark.parametrize(("style", "side"), [("noto", 64), ("fluent", 128)])
def test_every_thing_is_drawn_in_every_style_and_not_empty(style: str, side: int) -> None:
    for thing in all_things()[::40]:
        picture = sprite(thing, style)  # type: ignore[arg-type]
        assert (picture.mode, picture.size) == ("RGBA", (side, side))
        assert picture.getextrema()[3][1] == 255


def test_an_unknown_style_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=", ".join(STYLES)):
        sprite(all_things()[0], "apple")  # type: ignore[arg-type]
