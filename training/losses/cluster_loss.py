"""What a head asks of a loss, and the one check that the losses share.

A loss never sees all classes: a head hands it the cosines of a picture's own classes and one number
that stands for all others, the log of the sum of their exponentials.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class ClusterLoss(Protocol):
    """A loss over the classes of a picture (positives) against all others (negatives)."""

    @property
    def logit_scale(self) -> float:
        """Multiplier on the cosines of the negatives."""
        ...

    @property
    def negative_filter(self) -> float | None:
        """Cosine above which a negative is taken for a class split in two and counts as logit 0."""
        ...

    def __call__(self, positives: Tensor, is_positive: Tensor, negatives: Tensor) -> Tensor:
        """Loss of each picture (B,).

        From the cosines of its own classes (B, L), bool (B, L) where there is one, and the
        log-sum-exp of `logit_scale` times the cosines of its negatives (B,). A picture without any
        class of its own may get any finite number: the head leaves it out.
        """
        ...


def check_settings(logit_scale: float, margin: float, negative_filter: float | None) -> None:
    """ValueError unless the settings of a loss make sense."""
    if logit_scale <= 0 or not 0 <= margin < 3.14:
        raise ValueError(
            f"expected logit_scale > 0 and 0 <= margin < pi, got {logit_scale} and {margin}"
        )
    if negative_filter is not None and not 0 < negative_filter <= 1:
        raise ValueError(
            f"expected a negative_filter in (0, 1], or None for no filter, got {negative_filter}"
        )
