"""A memory on SAM 2 sees what Transformers' own session sees, and keeps a bounded part of it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.apps.seg.toy_sam2 import SIDE, random_sam2
from tests.apps.seg.toy_seg import trained_seg
from tests.core.language.toy_models import speckled
from torch.nn.functional import interpolate
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

from mlcd.apps.seg.sam2_memory import Sam2Memory
from mlcd.apps.seg.segmenter import Segmenter, Traced
from mlcd.apps.seg.video import segment_video
from mlcd.core.video_reader import Frame

WIDTH, HEIGHT = 40, 30


@cache
def model() -> Any:
    return random_sam2()


@cache
def answer() -> Traced:
    return Segmenter(trained_seg()).trace(pictures(1)[0], "cat")


@cache
def pictures(count: int) -> list[np.ndarray]:
    """A film: the same picture, rolled on by a pixel each time."""
    return [np.roll(speckled(WIDTH, HEIGHT), number, axis=1) for number in range(count)]


def reference(count: int) -> list[tuple[torch.Tensor, float]]:
    """Transformers' session on all frames, of which it forgets nothing: logits and score."""
    memory = Sam2Memory(model())
    mask = answer().segmentation.mask
    assert mask is not None
    session = Sam2VideoInferenceSession(dtype=torch.float32)
    session.obj_id_to_idx(1)
    given = torch.from_numpy(mask)[None, None].float()
    given = (interpolate(given, (SIDE, SIDE), mode="area") >= 0.5).float()
    session.add_mask_inputs(0, 0, given)
    session.obj_with_new_inputs = [1]
    seen = []
    for number, image in enumerate(pictures(count)):
        output = model()(session, frame_idx=number, frame=memory._pixels(image))
        seen.append((output.pred_masks, float(output.object_score_logits.sigmoid())))
    return seen[1:]


def test_it_sees_what_a_session_that_forgets_nothing_sees() -> None:
    memory = Sam2Memory(model())
    film = pictures(14)
    learned = memory.learn(film[0], answer())
    np.testing.assert_array_equal(learned.mask, answer().segmentation.mask)
    kept = []
    for image, (logits, score) in zip(film[1:], reference(14), strict=True):
        seen = memory.follow(image)
        memory.believe()
        kept.append(memory.num_kept)
        large = interpolate(logits, (HEIGHT, WIDTH), mode="bilinear", align_corners=False)
        np.testing.assert_array_equal(seen.mask, (large[0, 0] > 0).numpy())
        assert seen.iou == pytest.approx(score, abs=1e-6)
        assert 0 < seen.mask.mean() < 1, "the toy sees something, and not everything"
    assert max(kept) == kept[-1] <= 6


def test_what_is_not_believed_is_not_remembered() -> None:
    film = pictures(4)

    def last(*, with_noise: bool, believing: bool) -> float:
        memory = Sam2Memory(model())
        memory.learn(film[0], answer())
        if with_noise:
            memory.follow(np.ascontiguousarray(255 - film[2]))
            if believing:
                memory.believe()
        else:
            memory._number += 1  # a frame that was not looked at
        return memory.follow(film[3]).iou

    assert last(with_noise=True, believing=False) == last(with_noise=False, believing=False)
    assert last(with_noise=True, believing=True) != last(with_noise=False, believing=False)


def test_likeness_is_of_what_it_learned() -> None:
    memory = Sam2Memory(model())
    memory.learn(pictures(1)[0], answer())
    assert memory.likeness(pictures(1)[0], answer()) == pytest.approx(1.0, abs=1e-4)
    assert memory.likeness(np.ascontiguousarray(255 - pictures(1)[0]), answer()) < 0.99
    absent = Segmenter(trained_seg()).trace(pictures(1)[0], "dog")
    assert memory.likeness(pictures(1)[0], absent) == -1.0
    with pytest.raises(ValueError, match="nothing to follow"):
        memory.learn(pictures(1)[0], absent)


def test_it_keeps_little_however_often_it_learns() -> None:
    memory = Sam2Memory(model())
    for image in pictures(12):
        memory.learn(image, answer())
        memory.follow(image)
    assert memory.num_kept <= 8


def test_a_video_is_followed_with_it() -> None:
    frames = [Frame(image, number / 10, number) for number, image in enumerate(pictures(5))]
    found = list(segment_video(Segmenter(trained_seg()), frames, "cat", memory=Sam2Memory(model())))
    assert found[0].source == "asked"
    assert found[0].is_visible
    assert [frame.number for frame in found] == list(range(5))


def test_it_is_read_from_a_folder(tmp_path: Path) -> None:
    model().save_pretrained(tmp_path / "sam2")
    memory = Sam2Memory.load(tmp_path / "sam2")
    memory.learn(pictures(1)[0], answer())
    own = Sam2Memory(model())
    own.learn(pictures(1)[0], answer())
    assert memory.follow(pictures(2)[1]).iou == own.follow(pictures(2)[1]).iou
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "sam"}')
    with pytest.raises(ValueError, match="expected a SAM 2 for video"):
        Sam2Memory.load(tmp_path / "other")
