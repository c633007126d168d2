"""Exact search beside FAISS flat called directly, and R@1 beside the full similarity matrix.

    python benchmarks/search.py [--quick]

Goals: exact search over 1,000,000 x 512 within 5 % of FAISS flat; R@1 over 60,502 x 512, the size
of the SOP test split, the same number in a tenth of the memory of the full matrix. Every
contestant has a process of its own, so that neither their threads nor their memory mix; they take
turns, one at a time. `gallery` is the whole way: search, names from SQLite, checksums of the hits.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

DIM, HITS = 512, 10
Worker = Callable[[Path, Connection], None]


# -- exact search ------------------------------------------------------------------------------


def serve(search: Callable[[Any], Any], calls: Connection) -> None:
    """Answer each array of queries with the seconds that its search took and what it found."""
    calls.send("ready")
    while (queries := calls.recv()) is not None:
        start_s = time.perf_counter()
        found = search(queries)
        calls.send((time.perf_counter() - start_s, found))


def faiss_flat(folder: Path, calls: Connection) -> None:
    """FAISS's exact index, called as its documentation does."""
    import faiss

    index = faiss.IndexFlatIP(DIM)
    vectors = np.fromfile(folder / "vectors-0.f32", dtype=np.float32).reshape(-1, DIM)
    index.add(vectors)
    del vectors
    serve(lambda queries: index.search(queries, HITS)[1].tolist(), calls)


def exact(folder: Path, calls: Connection) -> None:
    """Our exact search on the memory-mapped file."""
    from mlcd.apps.retrieval.vectors import map_vectors
    from mlcd.core.nearest import exact_nearest

    path = folder / "vectors-0.f32"
    vectors = map_vectors(path, path.stat().st_size // DIM // 4, DIM)
    serve(lambda queries: exact_nearest(queries, vectors, HITS)[1].tolist(), calls)


def gallery(folder: Path, calls: Connection) -> None:
    """Our gallery around the same file; the row is the name of the picture."""
    from mlcd.apps.retrieval import Gallery

    opened = Gallery.open(folder)

    def search(queries: Any) -> list[list[int]]:
        found = opened.search_embeddings(queries, HITS)
        return [[int(hit.path.stem) for hit in hits] for hits in found]

    serve(search, calls)


def product(folder: Path, calls: Connection) -> None:
    """The matrix product alone: no exact search can be faster."""
    import torch

    path = folder / "vectors-0.f32"
    vectors = torch.from_numpy(np.memmap(path, dtype=np.float32, mode="c").reshape(-1, DIM))

    def multiply(queries: Any) -> None:
        for block in vectors.split(16_384):
            torch.from_numpy(queries) @ block.T

    serve(multiply, calls)


def compare_search(count: int, rounds: int) -> None:
    """Time all contestants on the same vectors and check that they find the same."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_gallery(folder, count)
        queries = unit(np.random.default_rng(1).standard_normal((256, DIM)))
        contestants: list[Worker] = [faiss_flat, exact, gallery, product]
        pipes = {worker.__name__: start(worker, folder) for worker in contestants}
        for number in (256, 1):
            took: dict[str, list[float]] = {name: [] for name in pipes}
            answers: dict[str, Any] = {}
            for turn in range(rounds + 1):
                for contestant, pipe in pipes.items():
                    pipe.send(queries[:number])
                    seconds, answers[contestant] = pipe.recv()
                    if turn:  # the first turn only warms up
                        took[contestant].append(seconds)
            print(f"\nexact search, {count:,} x {DIM}, {number} queries, {HITS} hits each")
            theirs = statistics.median(took["faiss_flat"])
            for contestant, times in took.items():
                mine = statistics.median(times)
                same = answers[contestant] == answers["faiss_flat"]
                told = "" if answers[contestant] is None else f"  same hits: {same}"
                print(
                    f"  {contestant:<12} {mine:8.4f} s  {number / mine:8.1f} queries/s"
                    f"  time / FAISS flat {mine / theirs:5.2f}{told}"
                )
        for pipe in pipes.values():
            pipe.send(None)


def start(worker: Worker, folder: Path) -> Connection:
    """A process of its own that serves searches; waits until it is ready."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    context.Process(target=worker, args=(folder, theirs), daemon=True).start()
    ours.recv()
    return ours


def write_gallery(folder: Path, count: int) -> None:
    """A gallery of `count` random vectors, whose pictures are named by their rows."""
    from mlcd.apps.retrieval.metadata import Entry, State, row_checksum
    from mlcd.apps.retrieval.store import Store
    from mlcd.apps.retrieval.vectors import append_vectors

    store = Store(folder)
    state = State(
        tower="none", weights_sha256="0" * 64, tower_config="{}", dim=DIM, index_kind="exact",
        generation=1, rows=count,
    )  # fmt: skip
    store.create(state)
    random = np.random.default_rng(0)
    with store.writing() as transaction:
        for first in range(0, count, 50_000):
            vectors = unit(random.standard_normal((min(50_000, count - first), DIM)))
            append_vectors(folder / state.vectors_file, first, vectors)
            paths = [Path(f"/{row}.jpg") for row in range(first, first + len(vectors))]
            transaction.stage(
                Entry(row, path, 0, 0, b"", row_checksum(row, path, b"", vector))
                for row, (path, vector) in enumerate(zip(paths, vectors, strict=True), first)
            )
            transaction.publish(paths)


def unit(vectors: Any) -> Any:
    """Rows of length 1, float32."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


# -- R@1 ---------------------------------------------------------------------------------------


def labelled(count: int) -> tuple[Any, list[int]]:
    """Vectors in classes of about five, as in the SOP test split, far enough apart to be found."""
    random = np.random.default_rng(2)
    labels = random.integers(0, max(1, count // 5), count)
    centres = random.standard_normal((max(1, count // 5), DIM), dtype=np.float32)
    noise = random.standard_normal((count, DIM), dtype=np.float32)
    return unit(centres[labels] + 2.0 * noise), labels.tolist()


def recall_in_blocks(vectors: Any, labels: list[int]) -> float:
    """Ours."""
    from mlcd.apps.retrieval.metrics import recall_at_k
    from mlcd.apps.retrieval.rankings import rank_relevant

    own = list(range(len(labels)))
    ranked = rank_relevant(vectors, vectors, labels, labels, own=own, depth=1)
    return statistics.fmean(recall_at_k(ranking.ranks, 1) for ranking in ranked)


def recall_from_full_matrix(vectors: Any, labels: list[int]) -> float:
    """All similarities at once, as in a short script."""
    import torch

    similarity = torch.from_numpy(vectors) @ torch.from_numpy(vectors).T
    similarity.fill_diagonal_(-torch.inf)
    nearest = similarity.argmax(dim=1)
    known = torch.tensor(labels)
    return float((known[nearest] == known).float().mean(dtype=torch.float64))


def measure_recall(name: str, count: int, result: Connection) -> None:
    """R@1, seconds, and the peak of memory above what data and libraries take."""
    import torch  # noqa: F401 - counted as a library, not as what a method takes

    import mlcd.apps.retrieval.rankings  # noqa: F401

    vectors, labels = labelled(count)
    before, start_s = resident_bytes("VmRSS"), time.perf_counter()
    recall = globals()[name](vectors, labels)
    seconds = time.perf_counter() - start_s
    peak = resident_bytes("VmHWM")
    result.send((recall, seconds, peak - before, peak))


def resident_bytes(field: str) -> int:
    """Memory of this process: VmRSS is now, VmHWM the most so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field} in /proc/self/status")


def compare_recall(count: int) -> None:
    """Both ways, each in its own process."""
    print(f"\nR@1 over {count:,} x {DIM}")
    context = multiprocessing.get_context("spawn")
    extra: list[int] = []
    for name in ("recall_in_blocks", "recall_from_full_matrix"):
        ours, theirs = context.Pipe()
        process = context.Process(target=measure_recall, args=(name, count, theirs))
        process.start()
        theirs.close()
        recall, seconds, above, peak = ours.recv()
        process.join()
        extra.append(above)
        print(
            f"  {name:<24} R@1 {recall:.6f}  {seconds:7.1f} s  "
            f"{above / 1e9:7.3f} GB above data and libraries, {peak / 1e9:.3f} GB in all"
        )
    print(f"  memory, ours / full matrix: {extra[0] / extra[1]:.4f}")


def main() -> None:
    """Run both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes, fewer rounds")
    quick = parser.parse_args().quick
    print(f"{len(os.sched_getaffinity(0))} cores; every time is a median")
    compare_search(100_000 if quick else 1_000_000, rounds=3 if quick else 7)
    compare_recall(10_000 if quick else 60_502)


if __name__ == "__main__":
    main()
