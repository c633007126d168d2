"""What is in the clusters is counted and ranked as a loop over all pictures does."""

from __future__ import annotations

import numpy as np

from mlcd.training.clusters.assign import NO_LABEL
from mlcd.training.clusters.contents import cluster_contents
from mlcd.training.clusters.label_reading import LabelBlock


def test_sizes_and_nearest_pictures_are_those_of_a_loop() -> None:
    random = np.random.default_rng(0)
    labels = np.stack([random.permutation(9)[:3] for _ in range(200)]).astype(np.int32)
    labels[random.random(200) < 0.2, 2] = NO_LABEL
    labels[:5] = NO_LABEL
    similarities = random.integers(0, 20, (200, 3)).astype(np.float32) / 20  # with ties
    blocks = [
        LabelBlock(a, labels[a : a + 30], similarities[a : a + 30]) for a in range(0, 200, 30)
    ]
    found = cluster_contents(blocks, 10, keep=4)
    for cluster in range(10):
        assert found.nearest_sizes[cluster] == (labels[:, 0] == cluster).sum()
        assert found.label_sizes[cluster] == (labels == cluster).sum()
        having = [
            (-similarities[picture, place], picture)
            for picture, place in zip(*np.nonzero(labels == cluster), strict=True)
        ]
        best = sorted(having)[:4]
        assert found.pictures[cluster].tolist() == [p for _, p in best] + [-1] * (4 - len(best))
        assert found.similarities[cluster, : len(best)].tolist() == [-s for s, _ in best]
    assert found.num_labels.tolist() == [
        int(((labels != NO_LABEL).sum(axis=1) == count).sum()) for count in range(4)
    ]
