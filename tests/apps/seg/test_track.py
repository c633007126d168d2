"""A track trusts its memory while it is sure, asks seldom, and says when a thing is not visible."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.apps.seg.toy_seg import trained_seg
from tests.core.language.toy_models import speckled

from mlcd.apps.seg.memory import Glimpse
from mlcd.apps.seg.segmenter import Segmenter, Traced
from mlcd.apps.seg.track import TrackSettings
from mlcd.apps.seg.video import FrameSegmentation, segment_video
from mlcd.core.images import Image
from mlcd.core.video_reader import Frame

PICTURE = speckled(40, 30)
MASK = np.zeros((30, 40), bool)
MASK[4:20, 4:20] = True
SURE = Glimpse(MASK, 0.9, 0.8, 0.9, 1.0)


class Scripted:
    """A memory that sees what a test says; the last of it again and again."""

    def __init__(self, *glimpses: Glimpse, likenesses: tuple[float, ...] = (1.0,)) -> None:
        self.glimpses, self.likenesses = list(glimpses), list(likenesses)
        self.learned = self.believed = 0

    def likeness(self, image: Image, answer: Traced) -> float:
        return self.likenesses.pop(0) if len(self.likenesses) > 1 else self.likenesses[0]

    def learn(self, image: Image, answer: Traced) -> Glimpse:
        self.learned += 1
        mask = answer.segmentation.mask
        assert mask is not None
        return SURE._replace(mask=mask)

    def follow(self, image: Image) -> Glimpse:
        return self.glimpses.pop(0) if len(self.glimpses) > 1 else self.glimpses[0]

    def believe(self) -> None:
        self.believed += 1


def still(count: int) -> list[Frame]:
    return [Frame(PICTURE, number / 10, number) for number in range(count)]


def follow(
    memory: Any, count: int, phrase: str = "cat", **settings: Any
) -> list[FrameSegmentation]:
    segmenter = Segmenter(trained_seg())
    found = segment_video(
        segmenter, still(count), phrase, memory=memory, settings=TrackSettings(**settings)
    )
    return list(found)


def cat() -> np.ndarray:
    mask = Segmenter(trained_seg()).segment(PICTURE, "cat").mask
    assert mask is not None
    return mask


def as_cat(**changes: Any) -> Glimpse:
    return SURE._replace(mask=cat())._replace(**changes)


def asked(found: list[FrameSegmentation]) -> list[int]:
    return [frame.number for frame in found if frame.source == "asked"]


def test_each_frame_by_itself_is_a_picture_by_itself() -> None:
    segmenter = Segmenter(trained_seg())
    for force in (False, True):
        found = list(segment_video(segmenter, still(2), "dog", force=force))
        alone = segmenter.segment(PICTURE, "dog", force=force)
        for frame in found:
            assert (frame.is_visible, frame.score, frame.text) == (
                alone.is_present,
                alone.score,
                alone.text,
            )
            assert (frame.mask is None) == (not force)
    assert [(frame.number, frame.stamp_s) for frame in found] == [(0, 0.0), (1, 0.1)]


def test_while_it_is_sure_the_language_model_is_not_asked() -> None:
    memory = Scripted(as_cat())
    found = follow(memory, 12, most_gap=8)
    assert asked(found) == [0, 8]
    assert [frame.source for frame in found[1:8]] == ["followed"] * 7
    assert (memory.learned, memory.believed) == (2, 10)
    np.testing.assert_array_equal(found[0].mask, cat())
    assert all(frame.is_visible for frame in found)


@pytest.mark.parametrize(
    "change",
    [{"iou": 0.5}, {"stability": 0.5}, {"similarity": 0.4}, {"mask": MASK & False}],
)
def test_any_doubt_asks_again_but_not_too_often(change: dict[str, Any]) -> None:
    memory = Scripted(as_cat(**change))
    found = follow(memory, 13, least_gap=4)
    assert asked(found) == [0, 4, 8, 12]
    assert memory.believed == 0
    is_same = "iou" in change or "stability" in change
    assert all(frame.is_visible == is_same for frame in found if frame.source == "waiting")


def test_a_mask_that_jumps_in_size_is_doubted() -> None:
    whole = np.ones((30, 40), bool)
    assert cat().sum() * 2 < whole.size, "the toy's mask is small enough to double"
    assert asked(follow(Scripted(as_cat(mask=whole)), 9)) == [0, 4, 8]


def test_what_is_not_there_is_not_visible_and_is_asked_for_seldom() -> None:
    found = follow(Scripted(as_cat()), 9, phrase="dog")
    assert asked(found) == [0, 4, 8]
    assert not any(frame.is_visible for frame in found)
    assert all(frame.mask is None and frame.score == 0 for frame in found)
    assert found[0].text
    assert not found[1].text


def test_another_thing_is_not_taken_for_it_until_the_model_insists() -> None:
    """As when the thing is hidden and the language model points at its twin."""
    lost = as_cat(similarity=0.0)
    memory = Scripted(lost, likenesses=(0.1,))
    found = follow(memory, 30, least_gap=4, patience=3)
    assert asked(found) == [0, 4, 8, 12, 16, 20, 24, 28]
    assert [frame.is_visible for frame in found if frame.source == "asked"] == [
        True, False, False, False, True, False, False, False,
    ]  # fmt: skip
    assert memory.learned == 2


def test_the_same_thing_is_found_again() -> None:
    """By the memory itself, or else by the next question."""
    lost = as_cat(similarity=0.0)
    found = follow(Scripted(lost, as_cat()), 6)
    assert [frame.source for frame in found] == ["asked", "waiting"] + ["followed"] * 4
    assert [frame.is_visible for frame in found] == [True, False] + [True] * 4
    found = follow(Scripted(lost, lost, lost, lost, as_cat(), likenesses=(0.9,)), 7, least_gap=4)
    assert asked(found) == [0, 4]
    assert [frame.is_visible for frame in found] == [True, False, False, False, True, True, True]


def test_frames_are_taken_one_at_a_time_and_not_kept() -> None:
    alive: list[weakref.ref[np.ndarray]] = []

    def frames() -> Iterator[Frame]:
        for number in range(6):
            image = PICTURE.copy()
            alive.append(weakref.ref(image))
            yield Frame(image, number / 10, number)
            del image

    results = segment_video(Segmenter(trained_seg()), frames(), "cat", memory="track")
    for number in range(6):
        next(results)
        assert len(alive) == number + 1
    gc.collect()
    assert sum(ref() is not None for ref in alive) <= 2


def test_impossible_wishes_are_refused() -> None:
    segmenter = Segmenter(trained_seg())
    with pytest.raises(ValueError, match="exclude each other"):
        segment_video(segmenter, still(1), "cat", memory="track", force=True)
    with pytest.raises(ValueError, match="expected 'none', 'track' or a memory"):
        segment_video(segmenter, still(1), "cat", memory="sam")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="an empty phrase"):
        list(segment_video(segmenter, still(1), " ", memory="track"))
    with pytest.raises(ValueError, match="least_gap <= most_gap"):
        TrackSettings(least_gap=5, most_gap=4)
    with pytest.raises(ValueError, match="most_growth above 1"):
        TrackSettings(most_growth=1.0)
