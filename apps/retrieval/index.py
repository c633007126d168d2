"""FAISS indexes over a gallery's vectors, for those who want one; exact search needs none.

An index proposes rows. What a search returns is scored again from the vectors themselves, so all
kinds give the same scores and differ only in what they overlook: `measured_recall` says how much.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mlcd.apps.retrieval.errors import GalleryError
from mlcd.apps.retrieval.vectors import Vectors
from mlcd.core.files import atomic_path
from mlcd.core.nearest import exact_nearest
from mlcd.core.optional import require

IndexKind = Literal["exact", "flat", "hnsw", "ivfpq"]
HNSW_NEIGHBOURS = 32  # links of a vector
HNSW_BUILD, HNSW_SEARCH = 200, 128  # candidates kept in view
PQ_BITS = 8
PQ_DIMS = 4  # dimensions that share one code
TRAIN_PER_LIST = 39  # FAISS's own lower bound for k-means
PROBED_LISTS = 32
PROPOSED = 10  # rows an IVF-PQ index proposes for each that is asked for


def check_kind(kind: str) -> IndexKind:
    """`kind` if there is such an index, else ValueError; ImportError when FAISS is missing."""
    if kind not in get_args(IndexKind):
        raise ValueError(f"index: expected one of {', '.join(get_args(IndexKind))}, got {kind!r}")
    if kind != "exact":
        require("faiss", extra="retrieval")
    return kind  # type: ignore[return-value]


def check_size(kind: IndexKind, count: int, dim: int) -> None:
    """ValueError when `count` vectors of length `dim` do not make an index of `kind`."""
    least = TRAIN_PER_LIST * 2**PQ_BITS
    if kind == "ivfpq" and (count < least or dim % PQ_DIMS):
        raise ValueError(
            f"an ivfpq index needs at least {least:,} vectors of a length divisible by "
            f"{PQ_DIMS}, got {count:,} of length {dim}; use exact or hnsw"
        )


class FaissIndex:
    """One FAISS index whose ids are the rows of the vectors."""

    def __init__(self, kind: IndexKind, index: Any) -> None:
        self.kind = kind
        self._index = index

    @classmethod
    def build(cls, kind: IndexKind, vectors: Vectors) -> FaissIndex:
        """An index of all `vectors` (N, D). ValueError when they are too few for `kind`."""
        index = cls(kind, _empty(kind, vectors))
        index.add(vectors)
        return index

    @classmethod
    def load(cls, kind: IndexKind, path: Path) -> FaissIndex:
        """The index that `save` wrote. GalleryError when the file is missing or cut."""
        faiss = require("faiss", extra="retrieval")
        if not path.is_file():
            raise GalleryError(f"{path} is missing; run `mlcd retrieval rebuild {path.parent}`")
        try:
            return cls(kind, faiss.read_index(str(path)))
        except RuntimeError as error:
            raise GalleryError(
                f"{path} is damaged or half written; run `mlcd retrieval rebuild {path.parent}`"
            ) from error

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, vectors: Vectors) -> None:
        """Append rows (n, D)."""
        self._index.add(np.ascontiguousarray(vectors))

    def save(self, path: Path) -> None:
        """Write the index, whole or not at all."""
        faiss = require("faiss", extra="retrieval")
        with atomic_path(path) as part:
            try:
                faiss.write_index(self._index, str(part))
            except RuntimeError as error:  # FAISS's only kind of error; here the disk is its cause
                raise OSError(f"{path} cannot be written: {error}") from error

    def propose(
        self, queries: Vectors, k: int, *, live: NDArray[np.bool_] | None = None
    ) -> NDArray[np.int64]:
        """Rows that may be the `k` nearest: (Q, D) -> (Q, at least k), -1 where there are none."""
        faiss = require("faiss", extra="retrieval")
        wanted = k * PROPOSED if self.kind == "ivfpq" else k
        selected: dict[str, Any] = {}
        if live is not None:
            bits = np.packbits(live, bitorder="little")
            selected["sel"] = faiss.IDSelectorBitmap(bits)
        match self.kind:
            case "hnsw":
                effort = max(HNSW_SEARCH, 2 * k)
                parameters = faiss.SearchParametersHNSW(efSearch=effort, **selected)
            case "ivfpq":
                parameters = faiss.SearchParametersIVF(nprobe=PROBED_LISTS, **selected)
            case _:
                parameters = faiss.SearchParameters(**selected)
        _, rows = self._index.search(np.ascontiguousarray(queries), wanted, params=parameters)
        return np.asarray(rows, dtype=np.int64)


def measured_recall(
    index: FaissIndex,
    vectors: Vectors,
    *,
    live: NDArray[np.bool_] | None = None,
    k: int = 10,
    num_queries: int = 200,
    seed: int = 0,
) -> float:
    """Share of the exact `k` nearest that `index` finds, asked with a sample of its own vectors.

    A vector's way to itself is the easiest of all, so the first hit is left out on both sides.
    """
    candidates = np.arange(len(vectors)) if live is None else np.flatnonzero(live)
    if len(candidates) < 2:
        return 1.0
    rng = np.random.default_rng(seed)
    sample = np.sort(rng.choice(candidates, min(num_queries, len(candidates)), replace=False))
    queries = np.ascontiguousarray(vectors[sample])
    _, exact = exact_nearest(queries, vectors, k + 1, live=live)
    proposed = index.propose(queries, k + 1, live=live)
    found = wanted = 0
    for own, truth, rows in zip(sample, exact, proposed, strict=True):
        others = set(truth.tolist()) - {int(own), -1}
        wanted += len(others)
        found += len(others & set(rows.tolist()))
    return found / wanted


def _empty(kind: IndexKind, vectors: Vectors) -> Any:
    """A FAISS index of the kind, trained where it needs training, without vectors."""
    faiss = require("faiss", extra="retrieval")
    count, dim = vectors.shape
    check_size(kind, count, dim)
    match kind:
        case "flat":
            return faiss.IndexFlatIP(dim)
        case "hnsw":
            index = faiss.IndexHNSWFlat(dim, HNSW_NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction = HNSW_BUILD
            return index
        case "ivfpq":
            num_lists = int(4 * count**0.5)
            quantizer = faiss.IndexFlatIP(dim)
            metric = faiss.METRIC_INNER_PRODUCT
            index = faiss.IndexIVFPQ(quantizer, dim, num_lists, dim // PQ_DIMS, PQ_BITS, metric)
            sample = min(count, 64 * num_lists)
            rows = np.sort(np.random.default_rng(0).choice(count, sample, replace=False))
            index.train(np.ascontiguousarray(vectors[rows]))
            return index
    raise AssertionError(f"{kind} is searched without FAISS")
