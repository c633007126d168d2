"""A gallery as a search sees it: vectors, which of them count, the index, all of one generation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlcd.apps.retrieval.errors import GalleryError
from mlcd.apps.retrieval.index import FaissIndex, check_kind
from mlcd.apps.retrieval.metadata import State, Transaction
from mlcd.apps.retrieval.vectors import Vectors, map_vectors
from mlcd.core.nearest import exact_nearest


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`live` (rows,) says which of `vectors` (rows, D) a search may find; None: all of them."""

    state: State
    count: int
    vectors: Vectors
    live: NDArray[np.bool_] | None
    index: FaissIndex | None

    @classmethod
    def load(cls, folder: Path, transaction: Transaction, *, with_index: bool = True) -> Snapshot:
        """The gallery that `transaction` sees. GalleryError when a file is missing or cut."""
        state = transaction.state()
        vectors = map_vectors(folder / state.vectors_file, state.rows, state.dim)
        count = transaction.count()
        if transaction.last_row() >= state.rows:
            raise GalleryError(
                f"{folder} is damaged: its metadata name vector {transaction.last_row():,} of "
                f"{state.rows:,}; copy it again, or index the pictures into a new gallery"
            )
        live: NDArray[np.bool_] | None = None
        if count < state.rows:
            live = np.zeros(state.rows, dtype=np.bool_)
            live[np.fromiter(transaction.rows(), dtype=np.int64, count=count)] = True
        index: FaissIndex | None = None
        kind = check_kind(state.index_kind) if with_index else "exact"
        if kind == "flat":
            index = FaissIndex.build(kind, vectors)
        elif kind != "exact" and state.index_file is not None:
            index = FaissIndex.load(kind, folder / state.index_file)
            # Rows staged since the index was written are not in it, and not live either.
            missing = state.rows - len(index) if live is None else live[len(index) :].sum()
            if missing > 0:
                raise GalleryError(
                    f"{folder / state.index_file} lacks {missing:,} of {count:,} pictures; "
                    f"run `mlcd retrieval rebuild {folder}`"
                )
        return cls(state, count, vectors, live, index)

    def nearest(self, queries: Vectors, k: int) -> list[list[tuple[int, float]]]:
        """Rows and cosines of the `k` nearest of every query (Q, D), best first, equal ones by row.

        The cosines are those of the vectors themselves, whichever index proposed the rows, and do
        not depend on where in a block a vector stood: two equal vectors have equal scores.
        """
        if self.index is None:
            _, proposed = exact_nearest(queries, self.vectors, k, live=self.live)
        else:
            proposed = self.index.propose(queries, k, live=self.live)
        return [self._scored(query, rows, k) for query, rows in zip(queries, proposed, strict=True)]

    def _scored(
        self, query: NDArray[np.float32], rows: NDArray[np.int64], k: int
    ) -> list[tuple[int, float]]:
        rows = np.sort(rows[rows >= 0])
        products = self.vectors[rows].astype(np.float64) * query  # (R, D)
        cosines = np.clip(products.sum(axis=1), -1.0, 1.0)
        order = np.argsort(-cosines, kind="stable")[:k]
        return [(int(rows[place]), float(cosines[place])) for place in order]
