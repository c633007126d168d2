"""Each challenge is what it says: hidden for long, crossed by a twin, gone and back."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from mlcd.core.masks import Mask
from mlcd.playroom.episodes import render_frame
from mlcd.playroom.things import STYLES
from mlcd.playroom.tracking import (
    CHALLENGES,
    TARGET,
    TWIN,
    Challenge,
    TrackingEpisode,
    solid_names,
    tracking_episode,
)


@cache
def drawn(challenge: Challenge, index: int) -> tuple[TrackingEpisode, list[list[Mask | None]]]:
    one = tracking_episode(7, index, challenge=challenge, size=(96, 96))
    return one, [render_frame(one.episode, number)[1] for number in range(100)]


def longest_gap(masks: list[Mask | None]) -> int:
    """Frames in a row without the thing, between frames with it."""
    seen = [number for number, mask in enumerate(masks) if mask is not None]
    return max(after - before - 1 for before, after in pairwise(seen))


@pytest.mark.parametrize("challenge", CHALLENGES)
def test_the_phrase_means_the_target_alone(challenge: Challenge) -> None:
    for index in range(4):
        one, masks = drawn(challenge, index)
        target, twin = one.episode.things[TARGET], one.episode.things[TWIN]
        assert one.phrase == f"the {target.colour} {target.name.text}"
        assert (twin.name, one.target) == (target.name, TARGET)
        assert twin.colour != target.colour
        named = [(thing.name.text, thing.colour) for thing in one.episode.things]
        assert named.count((target.name.text, target.colour)) == 1
        first = masks[0][TARGET]
        assert first is not None, "it is in sight when the video begins"
        assert first.sum() > 40
        assert any(frame[TWIN] is not None for frame in masks)


@pytest.mark.parametrize("challenge", ["occlusion", "return"])
def test_the_target_is_away_for_ten_frames_or_more_and_comes_back(challenge: Challenge) -> None:
    for index in range(6):
        _, masks = drawn(challenge, index)
        gap = longest_gap([frame[TARGET] for frame in masks])
        assert 10 <= gap <= 60
        assert masks[-1][TARGET] is not None


def test_an_occluded_target_is_still_in_the_picture() -> None:
    one, masks = drawn("occlusion", 1)
    hidden = next(number for number in range(100) if masks[number][TARGET] is None)
    placed = one.episode.scenes[hidden].things[TARGET]
    x0, y0, x1, y1 = one.episode.views[hidden].window
    assert x0 < placed.center[0] < x1
    assert y0 < placed.center[1] < y1
    (event,) = one.episode.events
    assert (event.kind, event.other) == ("hidden", 2)
    assert masks[hidden][2] is not None


def test_the_twin_crosses_the_target() -> None:
    for index in range(4):
        one, _ = drawn("crossing", index)
        ways = [
            np.asarray([scene.things[number].center for scene in one.episode.scenes])
            for number in (TARGET, TWIN)
        ]
        distance = np.linalg.norm(ways[0] - ways[1], axis=1)
        size = one.episode.things[TARGET].placed.size
        is_close = distance < 0.6 * size
        assert int((np.diff(is_close.astype(int)) == 1).sum()) == 2
        assert distance[0] > 2 * size


def test_a_moving_target_moves() -> None:
    for index in range(4):
        one, masks = drawn("motion", index)
        places = np.asarray([scene.things[TARGET].center for scene in one.episode.scenes])
        assert np.abs(np.diff(places, axis=0)).sum() > 0.8
        assert sum(frame[TARGET] is None for frame in masks) <= 5


def test_challenges_take_turns_and_seeds_decide() -> None:
    assert [tracking_episode(0, index).challenge for index in range(5)] == [
        *CHALLENGES,
        CHALLENGES[0],
    ]
    assert tracking_episode(0, 3) == tracking_episode(0, 3)
    assert tracking_episode(0, 3) != tracking_episode(1, 3)
    with pytest.raises(ValueError, match="one of motion"):
        tracking_episode(0, 0, challenge="hide")  # type: ignore[arg-type]


def test_what_hides_is_solid_in_every_style() -> None:
    texts = {name.text for name in solid_names()}
    assert "bucket" in texts
    assert "key" not in texts
    for style in STYLES:
        one = tracking_episode(2, 0, challenge="occlusion", style=style, size=(96, 96))
        masks = [render_frame(one.episode, number)[1][TARGET] for number in range(100)]
        assert longest_gap(masks) >= 10
