"""How sure a mean over samples, or a ratio of two sums over them, is: the percentile bootstrap.

Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 and 16.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2000
# Indices drawn at once: 32 MB of them, whatever the number of samples.
_CHUNK = 4_000_000


class Interval(NamedTuple):
    """Ends of a 95 % interval."""

    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference of nothing lies outside."""
        return self.low > 0 or self.high < 0


def resampled_means(
    values: ArrayLike, *, seed: int, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """Means of `resamples` draws with replacement: (n,) -> (resamples,).

    ValueError: no values, or one that is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"expected one row of finite numbers, got shape {array.shape}")
    draw = np.random.default_rng(seed)
    unique, counts = np.unique(array, return_counts=True)
    if unique.size * 10 < array.size:  # right or wrong: draw how often each value comes, not which
        drawn = draw.multinomial(array.size, counts / array.size, size=resamples)
        return np.asarray(drawn @ unique / array.size, dtype=np.float64)
    picks = _picks(draw, array.size, resamples)
    return np.concatenate([array[some].mean(axis=1) for some in picks])


def _picks(draw: np.random.Generator, size: int, resamples: int) -> Iterator[NDArray[np.int64]]:
    """Which samples are drawn, some resamples at a time: (n, size) each."""
    rows = max(1, _CHUNK // size)
    for start in range(0, resamples, rows):
        yield draw.integers(0, size, size=(min(rows, resamples - start), size))


def mean_interval(values: ArrayLike, *, seed: int, resamples: int = RESAMPLES) -> Interval:
    """95 % interval of the mean of `values` (n,), the samples being resampled.

    For paired runs give the differences sample by sample: what both find easy cancels out.
    Values that are all equal give an interval without width: that is all that resampling can see,
    and no certainty (of n right of n, up to about 3/n may be wrong).
    """
    return _middle(resampled_means(values, seed=seed, resamples=resamples))


def ratio_interval(
    parts: ArrayLike, wholes: ArrayLike, *, seed: int, resamples: int = RESAMPLES
) -> Interval:
    """95 % interval of sum(parts) / sum(wholes), (n,) each, the samples being resampled.

    Resamples whose wholes are all 0 have no ratio and are left out. ValueError: rows of different
    lengths, no values, one that is not finite, or no whole above 0.
    """
    pairs = np.stack([np.asarray(row, dtype=np.float64) for row in (parts, wholes)])
    if pairs.ndim != 2 or not pairs.shape[1] or not np.isfinite(pairs).all():
        raise ValueError(f"expected two rows of finite numbers, got shape {pairs.shape[1:]}")
    picks = _picks(np.random.default_rng(seed), pairs.shape[1], resamples)
    shared, united = np.concatenate([pairs[:, some].sum(axis=2) for some in picks], axis=1)
    if not (has_ratio := united > 0).any():
        raise ValueError("a ratio of sums needs a whole above 0")
    return _middle(shared[has_ratio] / united[has_ratio])


def _middle(drawn: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(low), float(high))
