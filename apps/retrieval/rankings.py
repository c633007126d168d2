"""Where the right pictures stand among a query's hits, without the full similarity matrix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import torch

from mlcd.apps.retrieval.vectors import Vectors
from mlcd.core.top_k import top_k

BLOCK_SCORES = 16_000_000  # scores held at once: 64 MB
KEPT_HITS = 5  # best hits of a query that are kept by name


@dataclass(frozen=True, slots=True)
class Ranking:
    """One query: `ranks` of its relevant pictures, from 1, as far as was looked.

    `num_relevant` counts all of them. `hits` are the best places in the gallery with their cosines.
    """

    query: int
    ranks: list[int]
    num_relevant: int
    hits: list[tuple[int, float]]


def rank_relevant(
    queries: Vectors,
    gallery: Vectors,
    query_labels: Sequence[int],
    gallery_labels: Sequence[int],
    *,
    own: Sequence[int | None],
    depth: int,
    asked: Sequence[int] | None = None,
) -> Iterator[Ranking]:
    """The rankings of the `asked` queries (all: None), in that order, looked at down to `depth`.

    queries (Q, D), gallery (N, D), L2-normalised. `own` is each query's own place in the gallery,
    which is no hit of it, or None. Equal cosines rank in the gallery's order; pictures with equal
    embeddings have equal cosines. Memory: both embeddings and one block of scores.
    """
    if not len(queries) == len(query_labels) == len(own) or len(gallery) != len(gallery_labels):
        raise ValueError(
            f"expected a label and an own place for each of {len(queries)} queries, and a label "
            f"for each of {len(gallery)} pictures of the gallery; got {len(query_labels)}, "
            f"{len(own)} and {len(gallery_labels)}"
        )
    labels = np.asarray(gallery_labels)
    per_label = Counter(gallery_labels)
    twins, originals = _twins(gallery)
    columns = torch.from_numpy(np.ascontiguousarray(gallery)).T  # (D, N)
    asked = range(len(queries)) if asked is None else asked
    step = max(1, BLOCK_SCORES // max(1, len(gallery)))
    for start in range(0, len(asked), step):
        part = list(asked[start : start + step])
        scores = torch.from_numpy(np.ascontiguousarray(queries[part])) @ columns  # (block, N)
        # A matrix product may round equal columns differently, by where they stand in it.
        scores[:, twins] = scores[:, originals]
        for line, query in enumerate(part):
            place = own[query]
            if place is not None:
                scores[line, place] = -torch.inf
        values, found = (tensor.numpy() for tensor in top_k(scores, depth))
        for line, query in enumerate(part):
            label, place = query_labels[query], own[query]
            is_own_relevant = place is not None and gallery_labels[place] == label
            hits = found[line][np.isfinite(values[line])]  # without the query itself
            yield Ranking(
                query=query,
                ranks=(np.flatnonzero(labels[hits] == label) + 1).tolist(),
                num_relevant=per_label[label] - is_own_relevant,
                hits=list(zip(hits[:KEPT_HITS].tolist(), values[line].tolist(), strict=False)),
            )


def _twins(vectors: Vectors) -> tuple[torch.Tensor, torch.Tensor]:
    """Places of vectors that stood before, and where each stood first."""
    first: dict[bytes, int] = {}
    twins: list[int] = []
    originals: list[int] = []
    for place, vector in enumerate(vectors):
        original = first.setdefault(blake2b(vector.tobytes(), digest_size=16).digest(), place)
        if original != place:
            twins.append(place)
            originals.append(original)
    return torch.tensor(twins, dtype=torch.int64), torch.tensor(originals, dtype=torch.int64)
