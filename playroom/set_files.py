"""What writers of sets share: work in processes, in order, and pictures on the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from PIL import Image

from mlcd.core.files import atomic_path
from mlcd.core.images import Image as Picture

Job = TypeVar("Job")


def all_done(jobs: Sequence[Callable[[], Job]], workers: int) -> Iterator[Job]:
    """Results in order, from processes when there are several: drawing is mostly Python."""
    if workers == 1:
        yield from (job() for job in jobs)
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        yield from pool.map(_call, jobs, chunksize=8)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def save_picture(picture: Picture, path: Path) -> None:
    """Write a JPEG without coarser colour, which small things live by."""
    with atomic_path(path) as part:
        Image.fromarray(picture).save(part, "JPEG", quality=92, subsampling=0)


def _call(job: Callable[[], Job]) -> Job:
    return job()
