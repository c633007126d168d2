"""Metrics of linear probes; which of them a published set uses stands in `published.py`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def summarize(samples: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Accuracy, top-5 accuracy and the mean of the classes' accuracies, from `samples.jsonl`.

    A sample has its `label` and `top`, the five most probable classes. Classes that no sample has
    are not in the mean. ValueError: no samples.
    """
    if not samples:
        raise ValueError("no samples: nothing was classified")
    per_class = class_accuracies(samples)
    return {
        "accuracy": sum(_is_right(sample) for sample in samples) / len(samples),
        "top-5": sum(sample["label"] in sample["top"][:5] for sample in samples) / len(samples),
        "mean-per-class": sum(per_class.values()) / len(per_class),
    }


def class_accuracies(samples: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """The accuracy of each class that samples have, by label."""
    right: dict[int, list[bool]] = defaultdict(list)
    for sample in samples:
        right[sample["label"]].append(_is_right(sample))
    return {label: sum(right[label]) / len(right[label]) for label in sorted(right)}


def eleven_point_ap(scores: ArrayLike, is_positive: ArrayLike) -> float:
    """Average precision of one class as VOC2007 has it: (N,) scores, (N,) bool.

    The mean, over the recalls 0, 0.1, ..., 1, of the best precision at that recall or a higher one
    (Everingham et al., IJCV 2010, eq. 1 and 2); equal scores in the order given. The mean over the
    classes is VOC's mAP. ValueError: nothing is positive.
    """
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    hits = np.asarray(is_positive, dtype=bool)[order]
    if not hits.any():
        raise ValueError("average precision needs at least one positive, got none")
    found = hits.cumsum()
    precision = found / np.arange(1, len(hits) + 1)
    # Tenths as whole numbers: 0.3 * 10 > 3 in floating point would lose a recall that is reached.
    best = [precision[found * 10 >= tenth * found[-1]].max() for tenth in range(11)]
    return float(np.mean(best))


def _is_right(sample: Mapping[str, Any]) -> bool:
    return bool(sample["top"][0] == sample["label"])
