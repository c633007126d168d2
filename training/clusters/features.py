"""Features to cluster: rows of an .npy file on disk, one for each picture that could be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlcd.training.clusters.blocks import Features


def open_features(features: str | Path | Features) -> Features:
    """An .npy file memory-mapped, or the array itself: (n, D) float32 or float16.

    ValueError when it is something else. Object arrays (pickles) are never read.
    """
    where = "the array given"
    if isinstance(features, (str, Path)):
        where = str(features)
        features = np.load(features, mmap_mode="r", allow_pickle=False)
    if features.ndim != 2 or features.dtype not in (np.float32, np.float16) or 0 in features.shape:
        raise ValueError(
            f"{where}: expected features (n, D) of float32 or float16, "
            f"got {features.dtype} {features.shape}"
        )
    return features
