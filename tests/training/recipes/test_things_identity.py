"""A changed identity is the same change in both styles, and training things alone."""

from __future__ import annotations

import numpy as np
import pytest

from mlcd.playroom.scenes import PlacedThing, Scene
from mlcd.playroom.things import training_things
from mlcd.training.recipes.things_identity import Change, Companion, random_change

THINGS = training_things()
SCENE = Scene(things=(PlacedThing(thing=THINGS[3], style="noto", size=0.5, rotation_deg=5.0),))


def test_no_change_leaves_the_scene_as_it_is() -> None:
    assert Change().applied(SCENE, "noto") == SCENE


def test_a_change_adds_to_what_the_view_varies() -> None:
    change = Change(turn_deg=90.0, hue_shift=0.25, stretch=2.0, is_flipped=True)
    (thing,) = change.applied(SCENE, "noto").things
    assert (thing.rotation_deg, thing.hue_shift, thing.stretch) == (95.0, 0.25, 2.0)
    assert thing.is_flipped


def test_the_focus_of_a_near_view_stands_in_the_middle() -> None:
    (thing,) = Change(zoom=2.0, focus=(0.25, 0.0)).applied(SCENE, "noto").things
    assert thing.size == 1.0
    right_quarter = thing.center[0] + 0.25 * thing.size
    assert (right_quarter, thing.center[1]) == pytest.approx((0.5, 0.5))


def test_companions_lie_above_in_the_style_of_the_view() -> None:
    companion = Companion(thing=THINGS[9], center=(0.2, 0.8), size=0.4, rotation_deg=0.0)
    own, other = Change(companions=(companion,)).applied(SCENE, "fluent").things
    assert (other.thing, other.style, other.center) == (THINGS[9], "fluent", (0.2, 0.8))
    assert other.layer > own.layer


def test_random_changes_are_of_every_kind_and_never_show_a_tested_thing() -> None:
    random = np.random.default_rng(0)
    changes = [random_change(random, THINGS) for _ in range(200)]
    for kind in ("turn_deg", "is_flipped", "hue_shift", "stretch", "zoom", "focus", "companions"):
        plain = getattr(Change(), kind)
        number = sum(getattr(change, kind) != plain for change in changes)
        assert 5 < number < 150, kind
    assert not any(c.thing.is_test for change in changes for c in change.companions)
