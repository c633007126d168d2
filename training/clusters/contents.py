"""What is in the clusters: how large they are, and the pictures nearest to each prototype.

One pass over the labels; memory is some numbers a cluster, whatever the number of pictures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlcd.training.clusters.assign import NO_LABEL
from mlcd.training.clusters.label_reading import LabelBlock


@dataclass(frozen=True, slots=True)
class ClusterContents:
    """Of K clusters."""

    nearest_sizes: NDArray[np.int64]
    """Pictures whose nearest prototype it is: (K,)."""
    label_sizes: NDArray[np.int64]
    """Pictures that have it among their labels: (K,)."""
    pictures: NDArray[np.int64]
    """Numbers of the nearest pictures of each, best first, -1 for none: (K, t)."""
    similarities: NDArray[np.float32]
    """Their cosines: (K, t)."""
    num_labels: NDArray[np.int64]
    """Pictures with so many labels, from 0 on: (l + 1,)."""


def cluster_contents(
    blocks: Iterable[LabelBlock], num_clusters: int, *, keep: int = 8
) -> ClusterContents:
    """Count labels and keep the `keep` nearest pictures of each of `num_clusters` clusters."""
    nearest_sizes = np.zeros(num_clusters, dtype=np.int64)
    label_sizes = np.zeros(num_clusters, dtype=np.int64)
    pictures = np.full((num_clusters, keep), -1, dtype=np.int64)
    similarities = np.full((num_clusters, keep), -np.inf, dtype=np.float32)
    num_labels = np.zeros(0, dtype=np.int64)
    for block in blocks:
        is_label = block.labels != NO_LABEL
        first = block.labels[:, 0][is_label[:, 0]]
        nearest_sizes += np.bincount(first, minlength=num_clusters)
        clusters = block.labels[is_label]
        label_sizes += np.bincount(clusters, minlength=num_clusters)
        found = np.bincount(is_label.sum(axis=1), minlength=block.labels.shape[1] + 1)
        num_labels = found if not len(num_labels) else num_labels + found
        numbers = np.broadcast_to(
            np.arange(block.start, block.start + len(is_label))[:, None], is_label.shape
        )
        _keep_nearest(
            pictures, similarities, clusters, numbers[is_label], block.similarities[is_label]
        )
    return ClusterContents(nearest_sizes, label_sizes, pictures, similarities, num_labels)


def _keep_nearest(
    pictures: NDArray[np.int64],
    similarities: NDArray[np.float32],
    clusters: NDArray[np.int32],
    numbers: NDArray[np.int64],
    values: NDArray[np.float32],
) -> None:
    """Merge pictures (m,) with a cluster and a cosine each into the nearest of each cluster."""
    touched = np.unique(clusters)
    keep = pictures.shape[1]
    all_clusters = np.concatenate([np.repeat(touched, keep), clusters])
    all_numbers = np.concatenate([pictures[touched].ravel(), numbers])
    all_values = np.concatenate([similarities[touched].ravel(), values])
    order = np.lexsort((all_numbers, -all_values, all_clusters))
    sorted_clusters = all_clusters[order]
    place = np.arange(len(order)) - np.searchsorted(sorted_clusters, sorted_clusters)
    is_kept = place < keep
    chosen, where = order[is_kept], (sorted_clusters[is_kept], place[is_kept])
    pictures[where] = all_numbers[chosen]
    similarities[where] = all_values[chosen]
