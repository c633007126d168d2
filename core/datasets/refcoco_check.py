"""What of the RefCOCO sets lies in a folder, what is missing and what is wrong, all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlcd.core.datasets.coco_masks import coco_runs, count_short_polygons
from mlcd.core.datasets.refcoco import count_refs, phrases_of, picture_of, split_refs
from mlcd.core.datasets.refcoco_files import (
    RefcocoFiles,
    find_images,
    missing_files,
    open_refcoco,
)
from mlcd.core.datasets.refcoco_layout import LAYOUTS, Counts, Layout
from mlcd.core.images import ImageError, read_size

LookedAt = set[tuple[Path, tuple[int, int]]]
"""Pictures, with the (H, W) that was expected of them: sets share their pictures."""
MOST_SHOWN = 10
"""Findings of one set that are listed; the rest is counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedSplit:
    """One split as it lies there."""

    split: str
    counts: Counts
    published: Counts | None
    """None for another set than the published one."""

    @property
    def is_right(self) -> bool:
        """Whether its counts are the published ones, where there are such."""
        return self.published is None or self.counts.agrees_with(self.published)


@dataclass(kw_only=True, slots=True)
class CheckedSet:
    """One set and what was found in it."""

    name: str
    by: str
    missing: list[str]
    """Files that are not there; with any of them missing nothing else is looked at."""
    splits: list[CheckedSplit] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What has to be mended, at most `MOST_SHOWN`."""
    num_problems: int = 0
    notes: list[str] = field(default_factory=list)
    """What is odd and does no harm."""

    @property
    def is_there(self) -> bool:
        return not self.missing

    @property
    def is_right(self) -> bool:
        return self.is_there and not self.num_problems


def check_refcoco(
    root: str | Path,
    *,
    images: str | Path | None = None,
    on_set: Callable[[int, int], None] | None = None,
) -> list[CheckedSet]:
    """Every set of `LAYOUTS`, as it lies below `root`; pictures are looked for as when reading.

    Every mask is read and every picture's size is compared with its header. `on_set(done, total)`
    reports. ValueError when `root` is no folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root}: expected a folder with refcoco, refcoco+, ... in it")
    found: list[CheckedSet] = []
    looked_at: LookedAt = set()
    for done, layout in enumerate(LAYOUTS, start=1):
        found.append(_check(root, layout, None if images is None else Path(images), looked_at))
        if on_set is not None:
            on_set(done, len(LAYOUTS))
    return found


def _check(root: Path, layout: Layout, images: Path | None, looked_at: LookedAt) -> CheckedSet:
    checked = CheckedSet(name=layout.name, by=layout.by, missing=missing_files(root, layout))
    if checked.missing:
        return checked
    try:
        files = open_refcoco(root, layout)
    except ValueError as error:
        checked.problems, checked.num_problems = [str(error)], 1
        return checked
    is_published = files.is_published
    for split, published in layout.splits.items():
        counts = count_refs(split_refs(files, split))
        checked.splits.append(
            CheckedSplit(split=split, counts=counts, published=published if is_published else None)
        )
    for problem in _problems(files, checked.splits, images, looked_at):
        checked.num_problems += 1
        if len(checked.problems) < MOST_SHOWN:
            checked.problems.append(problem)
    checked.notes = list(_notes(files))
    return checked


def _problems(
    files: RefcocoFiles,
    splits: Iterable[CheckedSplit],
    images: Path | None,
    looked_at: LookedAt,
) -> Iterator[str]:
    for split in splits:
        if not split.is_right:
            yield f"{split.split}: {split.counts}; published were {split.published}"
    try:
        folder = find_images(files.root, images)
    except ValueError as error:
        yield str(error)
        folder = None
    meant: set[int] = set()
    for ref in files.refs:
        try:
            image = picture_of(files, ref["image_id"], folder or files.root)
            phrases_of(files, ref, image)
        except ValueError as error:
            yield str(error)
            continue
        ids = ref["ann_id"] if isinstance(ref["ann_id"], list) else [ref["ann_id"]]
        for ann_id in sorted(set(ids) & files.annotations.keys() - meant):
            meant.add(ann_id)
            try:
                coco_runs(files.annotations[ann_id]["segmentation"], image.shape)
            except ValueError as error:
                yield f"annotation {ann_id}: {error}"
        if folder is not None and (image.path, image.shape) not in looked_at:
            looked_at.add((image.path, image.shape))
            if (problem := _picture_problem(image.path, image.shape)) is not None:
                yield problem


def _picture_problem(path: Path, shape: tuple[int, int]) -> str | None:
    try:
        height, width = read_size(path)
    except ImageError as error:
        return str(error)
    if (height, width) == shape:
        return None
    return (
        f"{path}: {width} x {height} pixels, instances.json says {shape[1]} x {shape[0]}: another "
        "picture, or one that was made smaller"
    )


def _notes(files: RefcocoFiles) -> Iterator[str]:
    if not files.is_published:
        yield "another set than the published one: its counts were not compared"
    sentences = [sentence for ref in files.refs for sentence in ref["sentences"]]
    if empty := sum(1 for sentence in sentences if not str(sentence["sent"]).strip()):
        yield f"{empty:,} phrases without a word"
    if short := sum(_short(annotation) for annotation in files.annotations.values()):
        yield f"{short:,} polygons of fewer than three points, which enclose nothing"


def _short(annotation: Mapping[str, Any]) -> int:
    try:
        return count_short_polygons(annotation["segmentation"])
    except TypeError:  # named among the problems when a ref means it
        return 0
