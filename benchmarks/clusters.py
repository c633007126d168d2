"""K-means and label assignment beside FAISS called directly and the matrix product alone.

    python benchmarks/clusters.py [--quick] [--part kmeans|labels]

Goals: k-means of 200,000 x 512 to 4,000 within 10 % of the time of `faiss.Kmeans` and the same
inertia to 1 %; the 8 nearest of 20,000 prototypes in at most 1.2 times the time of the matrix
product alone. That product is measured twice: as one writes it (1,024 rows times all prototypes),
and in tiles that stay in the caches, the quickest arrangement that we know. FAISS is measured twice
where a processor has AVX-512: as installed, and told so, since the OpenBLAS of its package takes
processors that are younger than itself for very old ones. Every contestant has a process of its
own; they take turns.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

DIM, LABELS, GROUPS = 512, 8, 8_000
Serve = Callable[[Path, Connection], None]


def make_rows(file: Path, count: int) -> None:
    """Rows on the sphere around groups, as embeddings are: (count, DIM) float32."""
    random = np.random.default_rng(0)
    centers = random.normal(size=(GROUPS, DIM)).astype(np.float32)
    rows = centers[random.integers(0, GROUPS, count)]
    rows += random.normal(size=rows.shape).astype(np.float32)
    np.save(file, rows / np.linalg.norm(rows, axis=1, keepdims=True))


def answer(calls: Connection, work: Callable[[Any], Any]) -> None:
    """Answer each call with the seconds that the work took and what came out."""
    calls.send("ready")
    while (asked := calls.recv()) is not None:
        start_s = time.perf_counter()
        found = work(asked)
        calls.send((time.perf_counter() - start_s, found))


# -- k-means: asked for a number of iterations, answered with prototypes ---------------------------


def ours_kmeans(folder: Path, calls: Connection) -> None:
    """Our k-means over the memory-mapped file."""
    from mlcd.training.clusters.features import open_features
    from mlcd.training.clusters.kmeans import KMeansSettings, run_kmeans

    features = open_features(folder / "rows.npy")
    num_clusters = len(np.load(folder / "prototypes.npy", mmap_mode="r"))

    def fit(iterations: int) -> Any:
        settings = KMeansSettings(num_clusters=num_clusters, max_iterations=iterations, tolerance=0)
        return run_kmeans(features, settings).prototypes.numpy()

    answer(calls, fit)


def faiss_kmeans(folder: Path, calls: Connection) -> None:
    """`faiss.Kmeans` as its documentation calls it, over all rows in memory."""
    import faiss

    rows = np.load(folder / "rows.npy")
    num_clusters = len(np.load(folder / "prototypes.npy", mmap_mode="r"))

    def fit(iterations: int) -> Any:
        kmeans = faiss.Kmeans(
            DIM, num_clusters, niter=iterations, spherical=True, max_points_per_centroid=10**9
        )
        kmeans.train(rows)
        return kmeans.centroids

    answer(calls, fit)


def told(serve: Serve, folder: Path, calls: Connection) -> None:
    """`serve` whose OpenBLAS is told that the processor has AVX-512, before it is loaded."""
    os.environ["OPENBLAS_CORETYPE"] = "SkylakeX"
    serve(folder, calls)


def with_faiss(serve: dict[str, Serve], name: str, faiss: Serve) -> dict[str, Serve]:
    """`serve` and FAISS, twice on a processor with AVX-512."""
    serve = serve | {name: faiss}
    if "avx512f" in Path("/proc/cpuinfo").read_text():
        serve[f"{name}, told"] = partial(told, faiss)
    return serve


def inertia(folder: Path, prototypes: np.ndarray) -> float:
    """Mean squared distance of the rows to the nearest prototype."""
    import torch

    from mlcd.training.clusters.blocks import partial_sums, ranges

    rows = np.load(folder / "rows.npy", mmap_mode="r")
    placed = torch.nn.functional.normalize(torch.from_numpy(prototypes), dim=1)
    sums = [partial_sums(rows[a:b], placed).inertia.sum() for a, b in ranges(len(rows))]
    return float(sum(sums)) / len(rows)


# -- labels: asked for nothing, answered with labels -----------------------------------------------


def ours_labels(folder: Path, calls: Connection) -> None:
    """Our assignment."""
    from mlcd.training.clusters.assign import assign_nearest

    rows, prototypes = np.load(folder / "rows.npy"), np.load(folder / "prototypes.npy")
    answer(calls, lambda _: assign_nearest(rows, prototypes, LABELS)[0])


def faiss_labels(folder: Path, calls: Connection) -> None:
    """FAISS's exact index."""
    import faiss

    rows, index = np.load(folder / "rows.npy"), faiss.IndexFlatIP(DIM)
    index.add(np.load(folder / "prototypes.npy"))
    answer(calls, lambda _: index.search(rows, LABELS)[1])


def product(folder: Path, calls: Connection, tile: int | None = None) -> None:
    """The matrix product alone; with `tile`, in squares of this size."""
    import torch

    rows = torch.from_numpy(np.load(folder / "rows.npy"))
    prototypes = torch.from_numpy(np.load(folder / "prototypes.npy"))

    def multiply(_: bool) -> None:
        for some in rows.split(tile or 1_024):
            for columns in prototypes.split(tile or len(prototypes)):
                some @ columns.T

    answer(calls, multiply)


def tiled_product(folder: Path, calls: Connection) -> None:
    """The matrix product in tiles that stay in the caches."""
    product(folder, calls, tile=2_048)


# -- taking turns ----------------------------------------------------------------------------------


class Contestants:
    """Processes that answer one at a time."""

    def __init__(self, folder: Path, serve: dict[str, Serve]) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.calls: dict[str, Connection] = {}
        self.processes = []
        for name, function in serve.items():
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=function, args=(folder, theirs), daemon=True)
            process.start()
            assert ours.recv() == "ready"
            self.calls[name] = ours
            self.processes.append(process)

    def ask(self, name: str, what: Any = True) -> tuple[float, Any]:
        """Seconds, and what came out."""
        self.calls[name].send(what)
        return self.calls[name].recv()

    def end(self) -> None:
        """End the processes."""
        for calls in self.calls.values():
            calls.send(None)
        for process in self.processes:
            process.join()


def compare_kmeans(folder: Path, *, rows: int, clusters: int, iterations: int) -> None:
    """Print seconds an iteration and the inertia of both."""
    make_rows(folder / "rows.npy", rows)
    np.save(folder / "prototypes.npy", np.zeros((clusters, DIM), np.float32))
    serve = with_faiss({"ours": ours_kmeans}, "faiss.Kmeans", faiss_kmeans)
    contestants = Contestants(folder, serve)
    seconds: dict[str, list[float]] = {name: [] for name in contestants.calls}
    reached = {}
    for turn in (1, iterations):  # the first is a warm-up of threads and of the file
        for name in contestants.calls:
            spent_s, prototypes = contestants.ask(name, turn)
            seconds[name].append(spent_s / turn)
            reached[name] = inertia(folder, prototypes) if turn == iterations else 0.0
    contestants.end()
    print(f"k-means, {rows:,} x {DIM} to {clusters:,}, {iterations} iterations")
    for name, spent in seconds.items():
        print(f"  {name:18} {spent[-1]:7.2f} s an iteration, inertia {reached[name]:.5f}")
    for name in list(seconds)[1:]:
        time_ratio = seconds["ours"][-1] / seconds[name][-1]
        off = reached["ours"] / reached[name] - 1
        print(f"  of {name}: time {time_ratio:.2f} (goal: at most 1.10),", end=" ")
        print(f"inertia {off:+.2%} (goal: at most +1 %)")


def compare_labels(folder: Path, *, rows: int, clusters: int, turns: int) -> None:
    """Print the medians of the seconds, and whether the labels agree."""
    make_rows(folder / "rows.npy", rows + clusters)
    everything = np.load(folder / "rows.npy")
    np.save(folder / "prototypes.npy", everything[:clusters])
    np.save(folder / "rows.npy", everything[clusters:])
    products: dict[str, Serve] = {"product": product, "product, tiled": tiled_product}
    serve = with_faiss({"ours": ours_labels} | products, "faiss flat", faiss_labels)
    contestants = Contestants(folder, serve)
    seconds: dict[str, list[float]] = {name: [] for name in contestants.calls}
    found = {}
    for turn in range(turns + 1):
        for name in contestants.calls:
            spent_s, found[name] = contestants.ask(name)
            if turn:
                seconds[name].append(spent_s)
    contestants.end()
    medians = {name: statistics.median(spent) for name, spent in seconds.items()}
    same = float((found["ours"] == found["faiss flat"]).mean())
    print(f"the {LABELS} nearest of {clusters:,} prototypes for {rows:,} rows, {turns} turns")
    for name, median in medians.items():
        print(f"  {name:18} {median:7.3f} s, {min(seconds[name]):.3f} to {max(seconds[name]):.3f}")
    print(f"  {medians['ours'] / medians['product']:.2f} of the product (goal: at most 1.20)")
    print(f"  {medians['ours'] / medians['product, tiled']:.2f} of the product in tiles")
    print(f"  {same:.4%} of the labels are FAISS's")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth, whose numbers mean little")
    parser.add_argument("--part", choices=["kmeans", "labels"])
    options = parser.parse_args()
    share = 10 if options.quick else 1
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if options.part != "labels":
            compare_kmeans(folder, rows=200_000 // share, clusters=4_000 // share, iterations=5)
        if options.part != "kmeans":
            compare_labels(
                folder, rows=10_000 // share, clusters=20_000 // share, turns=3 if share > 1 else 9
            )


if __name__ == "__main__":
    main()
