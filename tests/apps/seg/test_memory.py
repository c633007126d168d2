"""A memory on the segmenter's own SAM: cues are used where they give the answer's mask again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.apps.seg.toy_seg import trained_seg
from tests.core.language.toy_models import speckled

from mlcd.apps.seg.appearance import appearance_of, similarity, stability
from mlcd.apps.seg.memory import CUES, PromptMemory
from mlcd.apps.seg.segmenter import Segmenter, Traced
from mlcd.apps.seg.video import segment_video
from mlcd.core.video_reader import Frame

PICTURE = speckled(40, 30)


def answer(phrase: str = "cat") -> Traced:
    return Segmenter(trained_seg()).trace(PICTURE, phrase)


def test_without_cues_the_same_frame_gives_the_same_mask() -> None:
    memory = PromptMemory(trained_seg(), cues=())
    found = answer()
    learned = memory.learn(PICTURE, found)
    seen = memory.follow(PICTURE)
    np.testing.assert_array_equal(seen.mask, found.segmentation.mask)
    assert seen.score == pytest.approx(found.segmentation.score, rel=1e-5)
    assert seen.iou == pytest.approx(learned.iou, rel=1e-5)
    assert seen.similarity == pytest.approx(1.0, abs=1e-5)
    assert memory.likeness(PICTURE, found) == pytest.approx(1.0, abs=1e-5)


def test_several_masks_are_followed_together() -> None:
    memory = PromptMemory(trained_seg(), cues=())
    found = answer("birds")
    assert len(found.segmentation.masks) == 2
    memory.learn(PICTURE, found)
    np.testing.assert_array_equal(memory.follow(PICTURE).mask, found.segmentation.mask)


@pytest.mark.parametrize("cues", CUES)
def test_cues_that_give_another_mask_are_left_out(cues: frozenset) -> None:  # type: ignore[type-arg]
    """A SAM with random weights knows no cue but by chance."""
    found = answer()
    memory = PromptMemory(trained_seg(), cues=(cues,))
    glimpse = memory.learn(PICTURE, found)
    mask = found.segmentation.mask
    assert mask is not None
    overlap = (glimpse.mask & mask).sum() / (glimpse.mask | mask).sum()
    assert overlap > 0.75
    assert memory.cues in (cues, frozenset())


def test_cues_change_what_is_seen() -> None:
    """Each cue reaches the decoder: without the check on the answered frame masks differ."""
    seen = []
    for cues in (frozenset(), *CUES):
        memory = PromptMemory(trained_seg(), cues=())
        memory.learn(PICTURE, answer())
        memory._cues = cues
        seen.append(memory.follow(PICTURE))
    values = {round(glimpse.iou, 6) for glimpse in seen}
    assert len(values) == len(CUES) + 1


def test_only_what_is_believed_is_remembered() -> None:
    memory = PromptMemory(trained_seg(), cues=())
    memory.learn(PICTURE, answer())
    other = np.ascontiguousarray(255 - PICTURE)
    away = memory.follow(other).similarity
    assert away < 0.999
    assert memory.follow(other).similarity == pytest.approx(away)
    memory.believe()
    assert memory.follow(other).similarity > away


def test_an_answer_without_a_mask_gives_nothing_to_follow() -> None:
    with pytest.raises(ValueError, match="nothing to follow"):
        PromptMemory(trained_seg()).learn(PICTURE, answer("dog"))


def test_a_video_is_followed_without_the_language_model() -> None:
    segmenter = Segmenter(trained_seg())
    frames = [Frame(PICTURE, number / 10, number) for number in range(6)]
    found = list(segment_video(segmenter, frames, "cat", memory="track"))
    alone = segmenter.segment(PICTURE, "cat").mask
    assert [frame.source for frame in found] == ["asked"] + ["followed"] * 5
    assert alone is not None
    for frame in found:
        assert frame.mask is not None
        assert (frame.mask & alone).sum() / (frame.mask | alone).sum() > 0.75


def test_appearances_are_means_of_cells_without_padding() -> None:
    embedding = torch.zeros(2, 4, 4)
    embedding[0, :2, :2] = 1.0  # the thing
    embedding[1, :, 3] = 9.0  # padding
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[:4, :4] = True
    looks = appearance_of(embedding, mask, (4, 3))
    assert looks is not None
    torch.testing.assert_close(looks.pooled, torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(looks.contrast, torch.tensor([1 - 4 / 12, 0.0]))
    assert similarity(looks, looks) == pytest.approx(1.0)
    assert appearance_of(embedding, mask & False, (4, 3)) is None
    padding = torch.zeros(8, 8, dtype=torch.bool)
    padding[:, 6:] = True
    assert appearance_of(embedding, padding, (4, 3)) is None


def test_stability_is_the_iou_of_two_thresholds() -> None:
    logits = torch.tensor([[[3.0, 0.5, -0.5, -3.0]], [[-9.0, -9.0, -9.0, 2.0]]])
    assert stability(logits) == pytest.approx(2 / 4)
    assert stability(torch.full((1, 2, 2), -5.0)) == 0.0
