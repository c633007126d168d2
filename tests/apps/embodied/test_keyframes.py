"""A moving camera's memory: what is new is kept, what is old enough goes, the newest is there."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mlcd.apps.embodied import Keyframe, Keyframes
from mlcd.apps.embodied.keyframes import as_keyframes, change_between, evenly
from mlcd.core.datasets.openeqa import sample_frames
from mlcd.core.images import Image, ImageError
from mlcd.playroom.episodes import episode, render_frame

SHADES = [np.full((24, 32, 3), 10 * number, np.uint8) for number in range(26)]


def stamps(memory: Keyframes, most: int | None = None) -> list[float]:
    return [own.stamp_s for own in memory.frames(most) if own.stamp_s is not None]


def noisy(image: Image, seed: int) -> Image:
    noise = np.random.default_rng(seed).normal(0, 4, image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8)


def test_what_looks_the_same_is_not_kept_but_the_newest_is_there() -> None:
    memory = Keyframes(min_gap_s=0)
    image = np.full((240, 320, 3), 100, np.uint8)
    kept = [memory.see(noisy(image, number), number) for number in range(5)]
    assert kept == [True, False, False, False, False]
    assert stamps(memory) == [0, 4]
    image[100:180, 200:260] = 200  # a cup is put on the table
    assert memory.see(image, 5)
    assert stamps(memory) == [0, 5]
    assert memory.num_seen == 6


def test_frames_that_come_too_soon_are_not_kept() -> None:
    memory = Keyframes(min_gap_s=0.5)
    for number in range(10):
        memory.see(SHADES[2 * number], number / 5)
    assert stamps(memory) == [0, 0.6, 1.2, 1.8]


def test_change_is_where_pictures_differ_the_most() -> None:
    image = np.zeros((160, 160, 3), np.uint8)
    assert change_between(image, image) == 0
    assert change_between(image, np.full_like(image, 255)) == pytest.approx(1)
    other = image.copy()
    other[:40, :20] = 255  # eight of 256 cells, white
    assert change_between(image, other) == pytest.approx(1)
    other[:] = 0
    other[:10, :10] = 255  # one of them
    assert change_between(image, other) == pytest.approx(1 / 5)
    assert change_between(image, np.zeros((40, 90, 3), np.uint8)) == 0


def test_of_too_many_the_frame_most_like_the_one_before_goes() -> None:
    memory = Keyframes(3, min_gap_s=0, min_change=0)
    for stamp_s, shade in enumerate((0, 12, 14, 25)):
        memory.see(SHADES[shade], stamp_s)
    assert stamps(memory) == [0, 1, 3]  # 14 is near 12; first and newest stay
    memory.see(SHADES[5], 4)
    assert stamps(memory) == [0, 3, 4]


def test_of_too_many_the_frame_between_the_closest_goes() -> None:
    memory = Keyframes(8, min_gap_s=0, min_change=0, forget="evenly")
    for number in range(200):
        memory.see(SHADES[number % 7], number)
    found = stamps(memory)
    gaps = [after - before for before, after in pairwise(found)]
    assert (len(found), found[0], found[-1]) == (8, 0, 199)
    assert max(gaps) <= 2.5 * 199 / 7


def test_the_newest_counts_to_the_budget_too() -> None:
    memory = Keyframes(3, min_gap_s=0)
    for stamp_s, shade in enumerate((0, 8, 16, 24)):
        memory.see(SHADES[shade], stamp_s)
        memory.see(SHADES[shade], stamp_s + 0.5)  # is the newest, and not kept
        assert len(memory) == len(memory.frames()) <= 3
    assert stamps(memory)[-1] == 3.5


def test_shown_evenly_they_are_what_openeqas_evaluation_shows() -> None:
    memory = Keyframes(100, min_gap_s=0, min_change=0)
    for number in range(50):
        memory.see(SHADES[number % 26], number)
    for most in (1, 2, 7, 32, 50, 80):
        assert stamps(memory, most) == sample_frames(50, most)
    assert evenly([], 3) == []
    with pytest.raises(ValueError, match="at least one frame"):
        memory.frames(0)


def test_events_of_an_episode_are_remembered() -> None:
    story = episode(0, 0)
    memory = Keyframes(12, min_gap_s=0.5)
    images = [render_frame(story, number)[0] for number in range(len(story.stamps_s))]
    for image, stamp_s in zip(images, story.stamps_s, strict=True):
        memory.see(image, stamp_s)
    assert len(memory) <= 12
    for event in story.events:  # a frame during or after it, before the next begins
        later = [own.start_s for own in story.events if own.start_s > event.start_s]
        end_s = min(later, default=story.stamps_s[-1] + 1)
        assert any(event.start_s < stamp_s <= end_s for stamp_s in stamps(memory))


def test_time_that_goes_back_is_refused_until_all_is_forgotten() -> None:
    memory = Keyframes()
    memory.see(SHADES[0], 5)
    for stamp_s in (4.9, float("nan")):
        with pytest.raises(ValueError, match="after one of 5 s"):
            memory.see(SHADES[1], stamp_s)
    assert stamps(memory) == [5]
    memory.clear()
    assert memory.see(SHADES[1], 0)
    assert (stamps(memory), memory.num_seen) == ([0], 1)


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="budget: expected at least 2"):
        Keyframes(1)
    with pytest.raises(ValueError, match="min_change of 0 to 1"):
        Keyframes(min_change=2)
    with pytest.raises(ValueError, match="min_gap_s of 0 or more"):
        Keyframes(min_gap_s=-1)


def test_an_unreadable_frame_leaves_the_memory_as_it_was(tmp_path: Path) -> None:
    memory = Keyframes()
    memory.see(SHADES[0], 0)
    with pytest.raises(ImageError):
        memory.see(tmp_path / "gone.png", 1)
    assert (stamps(memory), memory.num_seen) == ([0], 1)


def test_sources_become_keyframes_and_keyframes_stay() -> None:
    own = Keyframe(SHADES[3], 1.5, "x")
    first, second = as_keyframes([own, SHADES[4]])
    assert first is own
    assert (second.image is SHADES[4], second.stamp_s, second.name) == (True, None, "")
