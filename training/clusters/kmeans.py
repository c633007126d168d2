"""K-means over features that may be larger than memory: prototypes, an iteration at a time.

A pass over the blocks gives partial sums; their total moves the prototypes. Memory is the
prototypes, their sums and a block. Full (each iteration sees every row) or mini-batch (Sculley,
Web-scale k-means clustering, 2010: each prototype moves by its own count), spherical or not.
The objective is UNICOM's (MLCD paper, Eq. 2), with rows and prototypes on the sphere.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlcd.training.clusters.blocks import (
    Features,
    PartialSums,
    block_rows,
    partial_sums,
    ranges,
)
from mlcd.training.clusters.faiss_search import Search, default_search
from mlcd.training.clusters.features import open_features
from mlcd.training.heads.sampling import permuted

MINI_BLOCK = 1_024  # rows that stand together in a mini-batch: one read of the disk
_SPLIT = 1 / 1024  # how far the halves of a split cluster are pushed apart, as FAISS does

Ranges = Sequence[tuple[int, int]]
Sweep = Callable[[Ranges, Tensor], Iterable[PartialSums]]
"""What computes the partial sums of the given ranges of rows, in any order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KMeansSettings:
    """What decides the prototypes, beside the features."""

    num_clusters: int
    seed: int = 0
    max_iterations: int = 20
    rows_per_iteration: int | None = None
    """None: all of them (full k-means); otherwise mini-batches of about so many."""
    is_spherical: bool = True
    search: Search = field(default_factory=default_search)
    tolerance: float = 1e-4
    """Full k-means stops when the inertia falls by less than this share; 0 never stops early."""

    def __post_init__(self) -> None:
        for name in ("num_clusters", "max_iterations"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.rows_per_iteration is not None and self.rows_per_iteration < 1:
            raise ValueError(
                f"rows_per_iteration must be at least 1 or None, got {self.rows_per_iteration}"
            )


@dataclass(kw_only=True, slots=True)
class KMeansState:
    """Where a run stands after an iteration: all that it needs to go on."""

    prototypes: Tensor
    """(K, D) float32."""
    weights: NDArray[np.int64]
    """Rows that each prototype was made of: of the last pass, or of all mini-batches: (K,)."""
    inertia: list[float] = field(default_factory=list)
    """Mean squared distance of the rows to their prototypes, as each iteration found them."""
    reseeded: list[int] = field(default_factory=list)
    """Empty clusters that were filled after each iteration."""

    @property
    def iterations(self) -> int:
        """How many are done."""
        return len(self.inertia)


def fit_prototypes(
    features: str | Path | Features, num_clusters: int, *, seed: int = 0, max_iterations: int = 20
) -> NDArray[np.float32]:
    """Prototypes of features (n, D), an array or an .npy file: (K, D), L2-normalised.

    Spherical k-means over all rows. ValueError when there are fewer rows than clusters.
    """
    settings = KMeansSettings(num_clusters=num_clusters, seed=seed, max_iterations=max_iterations)
    return run_kmeans(open_features(features), settings).prototypes.cpu().numpy()


def run_kmeans(
    features: Features,
    settings: KMeansSettings,
    *,
    sweep: Sweep | None = None,
    state: KMeansState | None = None,
    device: str | torch.device | None = None,
    on_iteration: Callable[[KMeansState], None] | None = None,
    on_rows: Callable[[int, int], None] | None = None,
) -> KMeansState:
    """Iterate until the settings say stop, from `state` on when there is one.

    `sweep` computes the partial sums (default: this process, on `device`, a GPU when there is
    one); `on_iteration` is told each new state, `on_rows` how many rows have been seen of those
    that all iterations would see. The prototypes follow from features, settings and the sums of
    blocks, whose order does not matter to rounding.
    """
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    sweep = sweep or local_sweep(features, settings)
    if state is None:
        state = KMeansState(
            prototypes=first_prototypes(features, settings).to(device),
            weights=np.zeros(settings.num_clusters, dtype=np.int64),
        )
    state.prototypes = state.prototypes.to(device)
    while not is_finished(state, settings):
        state = _iterate(features, settings, state, sweep, on_rows)
        if on_iteration is not None:
            on_iteration(state)
    return state


def is_finished(state: KMeansState, settings: KMeansSettings) -> bool:
    """Whether all iterations are done, or the inertia hardly falls any more."""
    if state.iterations >= settings.max_iterations:
        return True
    if settings.rows_per_iteration is not None or state.iterations < 2 or state.reseeded[-1]:
        return False  # of mini-batches the inertia goes up and down
    before, now = state.inertia[-2:]
    return before - now < settings.tolerance * before


def first_prototypes(features: Features, settings: KMeansSettings) -> Tensor:
    """Random rows, all different: (K, D) float32, L2-normalised when spherical."""
    if len(features) < settings.num_clusters:
        raise ValueError(
            f"expected at least as many rows as clusters, got {len(features):,} rows for "
            f"{settings.num_clusters:,} clusters"
        )
    places = torch.arange(settings.num_clusters)
    rows = permuted(places, len(features), settings.seed, "prototypes").sort().values.numpy()
    return block_rows(features[rows], torch.device("cpu"), is_spherical=settings.is_spherical)


def local_sweep(features: Features, settings: KMeansSettings) -> Sweep:
    """The sweep of one process: a block after the other."""

    def sweep(blocks: Ranges, prototypes: Tensor) -> Iterator[PartialSums]:
        for start, stop in blocks:
            yield partial_sums(
                features[start:stop],
                prototypes,
                is_spherical=settings.is_spherical,
                search=settings.search,
            )

    return sweep


def blocks_of(length: int, settings: KMeansSettings, iteration: int) -> Ranges:
    """The ranges of rows that an iteration looks at."""
    if settings.rows_per_iteration is None:
        return ranges(length)
    small = ranges(length, MINI_BLOCK)
    count = min(len(small), -(-settings.rows_per_iteration // MINI_BLOCK))
    first = iteration * count
    places = torch.arange(first, first + count)
    chosen = [
        permuted(
            places[places // len(small) == epoch] % len(small), len(small), settings.seed, epoch
        )
        for epoch in (places // len(small)).unique().tolist()
    ]
    return [small[number] for number in torch.cat(chosen).tolist()]


def _iterate(
    features: Features,
    settings: KMeansSettings,
    state: KMeansState,
    sweep: Sweep,
    on_rows: Callable[[int, int], None] | None,
) -> KMeansState:
    blocks = blocks_of(len(features), settings, state.iterations)
    total = sum(stop - start for start, stop in blocks)
    before = state.iterations * total
    sums = np.zeros(state.prototypes.shape, dtype=np.float64)
    counts = np.zeros(len(sums), dtype=np.int64)
    inertia = np.zeros(len(sums), dtype=np.float64)
    seen = 0
    for part in sweep(blocks, state.prototypes):
        sums[part.clusters] += part.sums
        counts[part.clusters] += part.counts
        inertia[part.clusters] += part.inertia
        seen += int(part.counts.sum())
        if on_rows is not None:
            on_rows(before + seen, settings.max_iterations * total)
    assert seen == total, "a block was lost or came twice"
    if settings.rows_per_iteration is not None:
        sums += state.prototypes.cpu().numpy() * state.weights[:, None].astype(np.float64)
        counts += state.weights
    sums /= np.maximum(counts, 1)[:, None]
    means = sums  # in place: of a million prototypes it is 4 GB
    empty = np.flatnonzero(counts == 0)
    means[empty] = state.prototypes.cpu().numpy()[empty]
    is_pass = settings.rows_per_iteration is None or counts.sum() >= len(features)
    if is_pass and len(empty):
        _split_widest(means, counts, inertia.copy(), empty, seed=(settings.seed, state.iterations))
    prototypes = torch.from_numpy(means.astype(np.float32)).to(state.prototypes.device)
    if settings.is_spherical:
        prototypes = torch.nn.functional.normalize(prototypes, dim=1)
    return KMeansState(
        prototypes=prototypes,
        weights=counts,
        inertia=[*state.inertia, float(inertia.sum()) / total],
        reseeded=[*state.reseeded, len(empty) if is_pass else 0],
    )


def _split_widest(
    means: NDArray[np.float64],
    counts: NDArray[np.int64],
    inertia: NDArray[np.float64],
    empty: NDArray[np.int64],
    *,
    seed: tuple[int, int],
) -> None:
    """Fill every empty cluster with half of what then has the largest inertia, in place.

    By inertia and not by rows: thousands of copies of one picture are a large cluster that no
    split divides. The halves start a little apart in a random direction: one that all coordinates
    share would be lost when prototypes are normalised.
    """
    random = np.random.default_rng(seed)
    heap = [(-value, number) for number, value in enumerate(inertia.tolist()) if counts[number] > 1]
    heapq.heapify(heap)
    for number in empty.tolist():
        if not heap:
            return
        widest = heapq.heappop(heap)[1]
        push = means[widest] * random.choice([-_SPLIT, _SPLIT], means.shape[1])
        means[number] = means[widest] + push
        means[widest] -= push
        counts[number] = counts[widest] // 2
        counts[widest] -= counts[number]
        inertia[[number, widest]] = inertia[widest] / 2
        for half in (number, widest):
            if counts[half] > 1:
                heapq.heappush(heap, (-float(inertia[half]), half))
