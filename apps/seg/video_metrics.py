"""How well masks follow an object through a video: J, F, and what happens around an occlusion.

J and F as DAVIS defines them (Perazzi et al., A Benchmark Dataset and Evaluation Methodology for
Video Object Segmentation, 2016), averaged over all frames, as Ref-DAVIS and Ref-YouTube-VOS do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlcd.core.masks import Mask

_TOLERANCE = 0.008
"""Of the diagonal: how far apart two boundaries may be and still match."""
_SAME_IOU = 0.5
_SETTLING, _WINDOW = 5, 15
"""Frames after an object is back that are not counted yet, and the last that is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Frames in a row in which an object cannot be seen, after it was seen."""

    start: int
    stop: int
    """The first frame after them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoScore:
    """One object in one video; shares, 0 to 1."""

    region: float
    """J, the mean IoU."""
    boundary: float
    """F, the mean of the boundaries' F-measures."""
    num_frames: int
    num_hidden: int
    """Frames in which the object cannot be seen."""
    num_hidden_said: int
    """Those of them in which no mask was given."""
    num_spans: int
    """Times that it was hidden and came back for long enough to be judged."""
    num_spans_kept: int
    """Those of them after which the mask was on it again."""

    @property
    def mean(self) -> float:
        """J&F."""
        return (self.region + self.boundary) / 2


def region_similarity(found: Mask | None, true: Mask | None) -> float:
    """J: the IoU of two masks, bool (H, W) or None for an empty one; 1 when both are empty."""
    if found is None or true is None:
        return 1.0 if not _has_pixels(found) and not _has_pixels(true) else 0.0
    _check_sizes(found, true)
    union = int((found | true).sum())
    return int((found & true).sum()) / union if union else 1.0


def boundary_accuracy(found: Mask | None, true: Mask | None) -> float:
    """F: the F-measure of the pixels of two boundaries that have one of the other nearby.

    Masks are bool (H, W) or None for an empty one; 1 when both are empty. Near is within 0.008 of
    the diagonal, rounded up.
    """
    if not _has_pixels(found) or not _has_pixels(true):
        return 1.0 if not _has_pixels(found) and not _has_pixels(true) else 0.0
    assert found is not None
    assert true is not None
    _check_sizes(found, true)
    radius = math.ceil(_TOLERANCE * math.hypot(*true.shape))
    edge, true_edge = boundary(found), boundary(true)
    precision = _share(edge & dilated(true_edge, radius), edge)
    recall = _share(true_edge & dilated(edge, radius), true_edge)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def boundary(mask: Mask) -> Mask:
    """The pixels whose right, lower or lower right neighbour is of the other side: bool (H, W)."""
    right, below, across = mask.copy(), mask.copy(), mask.copy()
    right[:, :-1] = mask[:, 1:]
    below[:-1] = mask[1:]
    across[:-1, :-1] = mask[1:, 1:]
    edge: Mask = (mask ^ right) | (mask ^ below) | (mask ^ across)
    # In the last row and column only one neighbour is inside the picture.
    edge[-1] = mask[-1] ^ right[-1]
    edge[:, -1] = mask[:, -1] ^ below[:, -1]
    edge[-1, -1] = False
    return edge


def dilated(mask: Mask, radius: int) -> Mask:
    """What is within `radius` pixels of a mask: bool (H, W)."""
    height = mask.shape[0]
    grown = np.zeros_like(mask)
    for dy in range(-radius, radius + 1):
        reach = math.isqrt(radius * radius - dy * dy)
        wide = _dilated_along_rows(mask, reach)
        grown[max(0, dy) : height + min(0, dy)] |= wide[max(0, -dy) : height - max(0, dy)]
    return grown


def score_video(found: Iterable[Mask | None], true: Sequence[Mask | None]) -> VideoScore:
    """One object: the masks that were given and the true ones, frame by frame.

    ValueError when they are not of the same number.
    """
    masks = list(found)
    if len(masks) != len(true) or not masks:
        raise ValueError(f"{len(masks)} masks for {len(true)} frames; expected one for each")
    pairs = list(zip(masks, true, strict=True))
    overlaps = [region_similarity(*pair) for pair in pairs]
    is_seen = [_has_pixels(mask) for mask in true]
    said_hidden = [not _has_pixels(mask) for mask in masks]
    kept = [_is_kept(overlaps, is_seen, span) for span in hidden_spans(is_seen)]
    return VideoScore(
        region=float(np.mean(overlaps)),
        boundary=float(np.mean([boundary_accuracy(*pair) for pair in pairs])),
        num_frames=len(pairs),
        num_hidden=is_seen.count(False),
        num_hidden_said=sum(
            said and not seen for said, seen in zip(said_hidden, is_seen, strict=True)
        ),
        num_spans=sum(value is not None for value in kept),
        num_spans_kept=sum(value is True for value in kept),
    )


def hidden_spans(is_seen: Sequence[bool], least: int = 10) -> list[Span]:
    """Where an object is hidden for at least so many frames, having been seen before and after."""
    spans: list[Span] = []
    last_seen: int | None = None
    for number, seen in enumerate(is_seen):
        if seen:
            if last_seen is not None and number - last_seen - 1 >= least:
                spans.append(Span(start=last_seen + 1, stop=number))
            last_seen = number
    return spans


def _is_kept(overlaps: Sequence[float], is_seen: Sequence[bool], span: Span) -> bool | None:
    """Whether the mask is on the same thing in most frames after it came back; None if too few.

    The first frames after it are not counted: it is hardly in sight then.
    """
    after = range(span.stop + _SETTLING, min(span.stop + _WINDOW, len(overlaps)))
    judged = [overlaps[number] >= _SAME_IOU for number in after if is_seen[number]]
    if len(judged) < _WINDOW - 2 * _SETTLING:
        return None
    return 2 * sum(judged) > len(judged)


def _has_pixels(mask: Mask | None) -> bool:
    return mask is not None and bool(mask.any())


def _check_sizes(found: Mask, true: Mask) -> None:
    if found.shape != true.shape:
        raise ValueError(f"a mask of {found.shape} against one of {true.shape}")


def _share(matched: Mask, edge: Mask) -> float:
    """Matched pixels of a boundary; all of one that has none, as of a mask over the whole frame."""
    total = int(edge.sum())
    return int(matched.sum()) / total if total else 1.0


def _dilated_along_rows(mask: Mask, reach: int) -> Mask:
    width = mask.shape[1]
    sums: NDArray[np.int32] = np.zeros((mask.shape[0], width + 1), np.int32)
    np.cumsum(mask, axis=1, out=sums[:, 1:])
    places = np.arange(width)
    ends, starts = np.minimum(places + reach + 1, width), np.maximum(places - reach, 0)
    wide: Mask = sums[:, ends] > sums[:, starts]
    return wide
