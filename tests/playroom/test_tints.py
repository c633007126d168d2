"""A tinted thing has one colour, whatever its own are, and keeps its outline."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from mlcd.playroom.names import name_of
from mlcd.playroom.renderer import render
from mlcd.playroom.scenes import PlacedThing, Scene
from mlcd.playroom.things import STYLES, Style
from mlcd.playroom.tints import NAMED_COLOURS


def drawn(text: str, style: Style, colour: str | None) -> tuple[np.ndarray, np.ndarray]:
    tint = NAMED_COLOURS[colour] if colour else None
    placed = PlacedThing(thing=name_of(text).thing, style=style, size=0.9, tint=tint)
    rendered = render(Scene(things=(placed,)), 96, 96)
    return rendered.image, rendered.things[0].mask


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("colour", NAMED_COLOURS)
@pytest.mark.parametrize("text", ["cow", "apple", "hat", "boat"])
def test_the_middle_of_a_tinted_thing_is_nearest_to_its_own_colour(
    text: str, colour: str, style: Style
) -> None:
    image, mask = drawn(text, style, colour)
    middle = np.median(image[mask], axis=0)
    distances = {name: np.linalg.norm(middle - tint) for name, tint in NAMED_COLOURS.items()}
    assert min(distances, key=lambda name: distances[name]) == colour


@pytest.mark.parametrize("style", STYLES)
def test_every_pixel_of_a_red_thing_has_the_hue_of_red(style: Style) -> None:
    image, mask = drawn("frog", style, "red")
    hues = [colorsys.rgb_to_hsv(*(pixel / 255)) for pixel in image[mask][::17]]
    assert all(min(hue, 1 - hue) < 0.03 for hue, saturation, _ in hues if saturation > 0.1)


def test_a_tint_changes_no_outline_and_no_thing_without_one() -> None:
    plain, outline = drawn("dog", "noto", None)
    tinted, same = drawn("dog", "noto", "blue")
    assert (outline == same).all()
    assert (plain[outline] != tinted[outline]).any()
