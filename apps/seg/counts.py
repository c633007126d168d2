"""How many pixels a predicted mask and a true one share: all that a metric needs of a sample.

Kept in whole numbers, so that every project's rules can be applied later, without the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mlcd.core.masks import Mask
from mlcd.core.rle import Rle, decode_rle, read_runs, rle_shape, shared_with_runs

MaskRule = Literal["or", "eq1", "lisa"]
"""What becomes of pixels where polygons of one object overlap, as they stand in the true mask.

`or`: part of it (ours, MLCD-Seg). `eq1`: background (LAVT compares the sum with 1). `lisa`: in no
class, so never shared, but a predicted pixel there counts in the union (LISA, GLaMM, EVF-SAM). The
sums of the last two are equal.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskCounts:
    """Pixels of one prediction P and one truth G."""

    shared: int
    """|P and G|"""
    predicted: int
    """|P|"""
    true: int
    """|G|, overlapping polygons counted once"""
    overlap: int = 0
    """Pixels of G where its own polygons overlap"""
    overlap_predicted: int = 0
    """Those of them that are in P"""

    def __post_init__(self) -> None:
        values = asdict(self)
        if not all(type(value) is int and value >= 0 for value in values.values()):
            raise ValueError(f"counts of pixels: expected whole numbers from 0, got {values}")
        fits = (
            self.shared <= min(self.predicted, self.true)
            and self.overlap_predicted <= min(self.overlap, self.shared)
            and self.overlap <= self.true
        )
        if not fits:
            raise ValueError(f"counts of pixels that cannot be: {values}")

    def intersection(self, rule: MaskRule = "or") -> int:
        """|P and G| under a rule for overlapping polygons."""
        return self.shared if _check(rule) == "or" else self.shared - self.overlap_predicted

    def union(self, rule: MaskRule = "or") -> int:
        """|P or G| under a rule for overlapping polygons."""
        true = self.true if _check(rule) == "or" else self.true - self.overlap
        return self.predicted + true - self.intersection(rule)

    def to_dict(self) -> dict[str, int]:
        """For a line of a table; what is 0 by default is left out."""
        return {
            name: value
            for name, value in asdict(self).items()
            if value or name in ("shared", "predicted", "true")
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MaskCounts:
        """The counts that `to_dict` gave; ValueError for other keys."""
        if unknown := set(values) - {field.name for field in fields(cls)}:
            raise ValueError(f"counts of pixels: unknown keys {sorted(unknown)}")
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"counts of pixels: {error}") from error


def count_masks(
    prediction: Mask | None, truth: Sequence[Rle], shape: tuple[int, int]
) -> MaskCounts:
    """The pixels of a predicted mask and a true one in a picture of (H, W) pixels.

    None predicts nothing. `truth` are the run lengths whose union is the true mask: one for each
    polygon where overlaps shall be known, none for a phrase whose object is not there. ValueError
    for masks of another size.
    """
    _check_sizes(prediction, truth, shape)
    if len(truth) != 1:
        return _count(prediction, _times_covered(truth, shape))
    runs = read_runs(truth[0])
    return MaskCounts(
        shared=0 if prediction is None else shared_with_runs(prediction, runs),
        predicted=0 if prediction is None else int(np.count_nonzero(prediction)),
        true=int(runs[1::2].sum()),
    )


def count_squashed(
    prediction: Mask | None, truth: Sequence[Rle], shape: tuple[int, int], side: int = 480
) -> MaskCounts:
    """The same after both were squashed to a square, as LAVT measures (nearest pixel).

    LAVT predicts at that size; the mask of another model can only be brought to it.
    """
    _check_sizes(prediction, truth, shape)
    rows, columns = (
        ((np.arange(side) + 0.5) * (length / side)).astype(np.int64) for length in shape
    )
    small = None if prediction is None else prediction[rows[:, None], columns]
    return _count(small, _times_covered(truth, shape)[rows[:, None], columns])


def _count(prediction: Mask | None, times: NDArray[np.int32]) -> MaskCounts:
    within = times[:0] if prediction is None else times[prediction]
    return MaskCounts(
        shared=int(np.count_nonzero(within)),
        predicted=0 if prediction is None else int(np.count_nonzero(prediction)),
        true=int(np.count_nonzero(times)),
        overlap=int(np.count_nonzero(times > 1)),
        overlap_predicted=int(np.count_nonzero(within > 1)),
    )


def _times_covered(truth: Sequence[Rle], shape: tuple[int, int]) -> NDArray[np.int32]:
    """In how many of the masks each pixel is: (H, W)."""
    times = np.zeros(shape, dtype=np.int32)
    for rle in truth:
        times += decode_rle(rle)
    return times


def _check_sizes(prediction: Mask | None, truth: Sequence[Rle], shape: tuple[int, int]) -> None:
    found = [("a true mask", rle_shape(rle)) for rle in truth]
    if prediction is not None:
        found.append(("the predicted mask", prediction.shape))
    for what, own in found:
        if own != shape:
            raise ValueError(
                f"{what} is of {own[1]} x {own[0]} pixels, its picture of {shape[1]} x {shape[0]}"
            )


def _check(rule: MaskRule) -> MaskRule:
    if rule not in get_args(MaskRule):
        raise ValueError(f"mask rule {rule!r}: expected one of {', '.join(get_args(MaskRule))}")
    return rule
