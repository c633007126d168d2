"""How sure a mean over samples is: the percentile bootstrap.

Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 and 16.
"""

from __future__ import annotations

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
    means = np.empty(resamples)
    rows = max(1, _CHUNK // array.size)
    for start in range(0, resamples, rows):
        stop = min(start + rows, resamples)
        picks = draw.integers(0, array.size, size=(stop - start, array.size))
        means[start:stop] = array[picks].mean(axis=1)
    return means


def mean_interval(values: ArrayLike, *, seed: int, resamples: int = RESAMPLES) -> Interval:
    """95 % interval of the mean of `values` (n,), the samples being resampled.

    For paired runs give the differences sample by sample: what both find easy cancels out.
    Values that are all equal give an interval without width: that is all that resampling can see,
    and no certainty (of n right of n, up to about 3/n may be wrong).
    """
    low, high = np.quantile(resampled_means(values, seed=seed, resamples=resamples), [0.025, 0.975])
    return Interval(float(low), float(high))
