"""Episodes: the same for the same seed, things keep their numbers, events are what is seen."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from tests.playroom.hand_made import thing

from mlcd.playroom.episodes import Episode, episode, film, render_frame
from mlcd.playroom.plays import NOWHERE, Actor, Key, Play, Shot, View, view_at
from mlcd.playroom.scenes import Ground, Light


def play(*keys: Key, shots: tuple[Shot, ...] = (Shot(at_s=0, view=View()),)) -> Play:
    dog = thing("dog", "red", 0.5, 0.5)
    return Play(
        actors=(Actor(named=dog, keys=keys),),
        shots=shots,
        events=(),
        length_s=2.0,
        ground=Ground(),
        light=Light(),
    )


def filmed(own: Play, num_frames: int = 3) -> Episode:
    return film(own, num_frames=num_frames, frames_per_s=1.0, size=(64, 48))


def number_at(one: Episode, stamp_s: float) -> int:
    return max(n for n, own in enumerate(one.stamps_s) if own <= stamp_s)


def test_the_same_seed_gives_the_same_frames() -> None:
    first, second = episode(3, 5), episode(3, 5)
    assert first == second
    assert first != episode(3, 6)
    assert first != episode(4, 5)
    for number in (0, 30):
        np.testing.assert_array_equal(
            render_frame(first, number)[0], render_frame(second, number)[0]
        )


def test_every_scene_has_every_thing_at_its_number() -> None:
    one = episode(0, 1)
    assert len(one.scenes) == len(one.views) == len(one.stamps_s) == 48
    assert one.stamps_s[:3] == (0.0, 0.25, 0.5)
    for scene in one.scenes:
        assert [own.thing for own in scene.things] == [own.name.thing for own in one.things]


def test_what_an_event_says_is_what_is_seen() -> None:
    """In sight after it came, out of sight after it went, elsewhere after it was moved."""
    kinds: Counter[str] = Counter()
    for index in range(12):
        one = episode(1, index)
        for event in one.events:
            kinds[event.kind] += 1
            before = render_frame(one, max(0, number_at(one, event.start_s)))[1]
            after = render_frame(one, number_at(one, event.stop_s + 0.3))[1]
            if event.kind in ("appears", "returns", "taken"):
                assert before[event.thing] is None
                assert after[event.thing] is not None
            elif event.kind in ("leaves", "put in"):
                assert before[event.thing] is not None
                assert after[event.thing] is None
            else:
                was, now = before[event.thing], after[event.thing]
                assert was is not None
                assert now is not None
                assert not (was & now).sum() > 0.5 * was.sum()
            assert one.things[event.thing].name.text in event.text
    assert set(kinds) == {"appears", "returns", "taken", "leaves", "put in", "moved"}


def test_a_tour_passes_everything() -> None:
    one = episode(0, 2, story="tour")
    seen = [False] * len(one.things)
    for number in range(len(one.scenes)):
        seen = [a or b is not None for a, b in zip(seen, render_frame(one, number)[1], strict=True)]
    assert all(seen)
    assert not one.events


def test_a_thing_moves_from_key_to_key_and_is_nowhere_in_between() -> None:
    one = filmed(
        play(
            Key(at_s=0.0, center=(0.2, 0.5)),
            Key(at_s=2.0, center=(0.8, 0.5), scale=2.0),
            Key(at_s=3.0, center=None),
            Key(at_s=4.0, center=(0.5, 0.5)),
        ),
        num_frames=5,
    )
    placed = [scene.things[0] for scene in one.scenes]
    assert [own.center for own in placed] == [
        (0.2, 0.5), (0.5, 0.5), (0.8, 0.5), NOWHERE, (0.5, 0.5),
    ]  # fmt: skip
    assert placed[1].size == pytest.approx(1.5 * placed[0].size)
    assert render_frame(one, 3)[1] == [None]
    image, masks = render_frame(one, 0)
    assert image.shape == (48, 64, 3)
    assert masks[0] is not None
    assert masks[0].shape == (48, 64)
    assert np.flatnonzero(masks[0].any(0)).mean() == pytest.approx(0.2 * 64, abs=2)


def test_the_camera_shows_its_window_of_the_world() -> None:
    shots = (
        Shot(at_s=0, view=View(center=(0.25, 0.25), share=0.5)),
        Shot(at_s=2, view=View(center=(0.75, 0.75), share=0.5)),
    )
    one = filmed(play(Key(at_s=0.0, center=(0.25, 0.25)), shots=shots))
    first, _, last = (render_frame(one, number)[1][0] for number in range(3))
    assert first is not None
    assert np.argwhere(first).mean(0) == pytest.approx([24, 32], abs=2)
    assert last is None
    assert view_at(shots, 1.0).center == (0.5, 0.5)
    assert View(center=(0.0, 1.0), share=0.4).window == pytest.approx((0.0, 0.6, 0.4, 1.0))


def test_what_is_impossible_is_refused() -> None:
    with pytest.raises(ValueError, match="one of events, tour"):
        episode(0, 0, story="opera")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one frame"):
        episode(0, 0, num_frames=0, frames_per_s=1)
