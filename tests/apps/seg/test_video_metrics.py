"""J and F are those of DAVIS, by loops over pixels; occlusions are judged by what is seen again."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mlcd.apps.seg.video_metrics import (
    Span,
    boundary,
    boundary_accuracy,
    dilated,
    hidden_spans,
    region_similarity,
    score_video,
)


def slow_boundary(mask: np.ndarray) -> set[tuple[int, int]]:
    height, width = mask.shape
    found = set()
    for y in range(height):
        for x in range(width):
            others = []
            if x + 1 < width:
                others.append((y, x + 1))
            if y + 1 < height:
                others.append((y + 1, x))
            if x + 1 < width and y + 1 < height:
                others.append((y + 1, x + 1))
            if any(mask[other] != mask[y, x] for other in others):
                found.add((y, x))
    return found


def slow_f(found: np.ndarray, true: np.ndarray) -> float:
    radius = math.ceil(0.008 * math.hypot(*true.shape))
    one, other = slow_boundary(found), slow_boundary(true)

    def share(these: set[tuple[int, int]], those: set[tuple[int, int]]) -> float:
        near = sum(any(math.dist(a, b) <= radius for b in those) for a in these)
        return near / len(these)

    if not one or not other:
        return float(not one and not other)
    precision, recall = share(one, other), share(other, one)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def blobs(seed: int, shape: tuple[int, int] = (61, 83)) -> np.ndarray:
    """Some discs, one of them over an edge of the picture."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, bool)
    for _ in range(3):
        cy, cx, r = random.uniform(0, shape[0]), random.uniform(0, shape[1]), random.uniform(4, 15)
        mask |= (y - cy) ** 2 + (x - cx) ** 2 <= r * r
    return mask


def test_the_boundary_is_where_neighbours_differ() -> None:
    for seed in range(4):
        mask = blobs(seed)
        assert {(int(y), int(x)) for y, x in np.argwhere(boundary(mask))} == slow_boundary(mask)


@pytest.mark.parametrize("radius", [0, 1, 3, 6])
def test_dilation_is_by_a_disc(radius: int) -> None:
    mask = np.random.default_rng(radius).random((23, 31)) < 0.02
    places = np.argwhere(mask)
    expected = [
        [any(math.dist((y, x), place) <= radius for place in places) for x in range(31)]
        for y in range(23)
    ]
    np.testing.assert_array_equal(dilated(mask, radius), expected)


def test_f_is_that_of_a_loop_over_pixels() -> None:
    values = []
    for seed in range(6):
        found, true = blobs(seed), blobs(seed)
        found[:, 2:] = found[:, :-2]  # moved by two pixels: some of the boundary is near
        if seed % 2:
            found = found | blobs(seed + 100)
        values.append(boundary_accuracy(found, true))
        assert values[-1] == pytest.approx(slow_f(found, true))
    assert len({round(value, 6) for value in values}) == 6
    assert all(0 < value < 1 for value in values[1::2])


def test_empty_masks_agree_with_each_other_alone() -> None:
    mask, empty = blobs(0), np.zeros((61, 83), bool)
    for metric in (region_similarity, boundary_accuracy):
        for nothing in (None, empty):
            assert metric(nothing, None) == metric(nothing, empty) == 1.0
            assert metric(mask, nothing) == metric(nothing, mask) == 0.0
        assert metric(mask, mask) == 1.0
        with pytest.raises(ValueError, match="against one of"):
            metric(mask, mask[1:])


def test_j_is_the_iou() -> None:
    one, other = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    one[:2], other[1:3] = True, True
    assert region_similarity(one, other) == pytest.approx(1 / 3)


def test_spans_have_sight_before_and_after() -> None:
    def seen(text: str) -> list[bool]:
        return [letter == "x" for letter in text]

    assert hidden_spans(seen("..xx..x...x..."), least=2) == [
        Span(start=4, stop=6),
        Span(start=7, stop=10),
    ]
    assert hidden_spans(seen("..xx..x...x..."), least=3) == [Span(start=7, stop=10)]
    assert hidden_spans(seen("....")) == []


def test_a_video_is_scored_around_its_occlusion() -> None:
    thing, other = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    thing[:8, :8], other[10:, 10:] = True, True
    true = [thing] * 10 + [None] * 12 + [thing] * 18
    perfect = score_video(true, true)
    assert (perfect.region, perfect.boundary, perfect.mean) == (1.0, 1.0, 1.0)
    assert (perfect.num_frames, perfect.num_hidden, perfect.num_hidden_said) == (40, 12, 12)
    assert (perfect.num_spans, perfect.num_spans_kept) == (1, 1)
    taken_in = score_video([thing] * 10 + [other] * 30, true)
    assert (taken_in.num_hidden_said, taken_in.num_spans, taken_in.num_spans_kept) == (0, 1, 0)
    assert taken_in.region == pytest.approx(0.25)
    late = score_video([thing] * 10 + [None] * 16 + [thing] * 14, true)
    assert (late.num_hidden_said, late.num_spans_kept) == (12, 1)
    too_short = [thing] * 10 + [None] * 12 + [thing] * 6
    assert score_video(too_short, too_short).num_spans == 0
    with pytest.raises(ValueError, match="2 masks for 1 frames"):
        score_video([thing, thing], [thing])
