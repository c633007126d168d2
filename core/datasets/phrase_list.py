"""The plain layout for phrases of one's own: JSON lines that name a picture, a phrase and masks.

    mine/train.jsonl   mine/val.jsonl   ...        and wherever they say: pictures and masks

    {"image": "pictures/a.jpg", "phrase": "the left dog", "masks": ["masks/a-1.png"]}
    {"image": "pictures/a.jpg", "phrase": "both dogs", "masks": [[[2, 1, 8, 1, 8, 5]], {...}]}
    {"image": "pictures/a.jpg", "phrase": "the elephant", "masks": []}

Paths are relative to the file. A mask is a picture of the size of its picture, white where it is
set, or COCO's `segmentation`: a list of polygons, or run lengths. All masks together are what the
phrase means; an empty list says that it is not there. `id` and `row` may stand beside.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlcd.core.datasets.referring_set import (
    MaskSource,
    Phrase,
    ReferredImage,
    ReferringSet,
    digest_of,
)
from mlcd.core.files import atomic_path
from mlcd.core.images import read_size
from mlcd.core.rle import rle_area

MOST_SHOWN = 10
"""Problems of one file that are listed; the rest is counted."""
_KEYS = ("image", "phrase", "masks")


@dataclass(kw_only=True, slots=True)
class CheckedList:
    """One file of phrases and what was found in it."""

    path: Path
    num_phrases: int = 0
    num_images: int = 0
    num_absent: int = 0
    """Phrases that mean nothing in their picture."""
    problems: list[str] = field(default_factory=list)
    """What has to be mended, at most `MOST_SHOWN`."""
    num_problems: int = 0

    @property
    def is_right(self) -> bool:
        return not self.num_problems


def read_phrase_list(path: str | Path, split: str = "train") -> ReferringSet:
    """The phrases of a .jsonl file, or of the file of that split in a folder, in their order.

    Masks are read when they are asked for. ValueError naming the file and the line: no JSON,
    something that lacks, a picture that cannot be read, a mask file that is missing.
    """
    path = Path(path)
    path = path / f"{split}.jsonl" if path.is_dir() else path
    phrases = list(_read(path, _raise))
    name = f"{path.parent.resolve().name} {path.stem}"
    if not phrases:
        raise ValueError(f"{path}: no phrases in it")
    return ReferringSet(name, phrases, digest_of(name, phrases))


def check_phrase_lists(path: str | Path) -> list[CheckedList]:
    """What is wrong in a .jsonl file or in all of a folder; every mask is read.

    ValueError when there is no such file.
    """
    path = Path(path)
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise ValueError(
            f"{path}: expected a .jsonl file, or a folder with train.jsonl, val.jsonl, ... in it, "
            'whose lines are {"image": ..., "phrase": ..., "masks": [...]}'
        )
    return [_check(file) for file in files]


def write_phrase_list(phrases: Iterable[Phrase], path: str | Path) -> int:
    """Write phrases, whose pictures and mask files stay where they are; how many there were."""
    path = Path(path)
    count = 0
    with atomic_path(path) as part, part.open("w", encoding="utf-8") as file:
        for count, phrase in enumerate(phrases, start=1):  # noqa: B007 - counted for the caller
            line = {
                "id": phrase.id,
                "image": _from(path, phrase.image.path),
                "phrase": phrase.text,
                "masks": [_from(path, m) if isinstance(m, Path) else m for m in phrase.masks],
                **({"row": phrase.row} if phrase.row else {}),
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return count


def _check(path: Path) -> CheckedList:
    checked = CheckedList(path=path)

    def add(problem: ValueError) -> None:
        checked.num_problems += 1
        if len(checked.problems) < MOST_SHOWN:
            checked.problems.append(str(problem))

    images: set[str] = set()
    for phrase in _read(path, add):
        checked.num_phrases += 1
        checked.num_absent += not phrase.has_target
        images.add(phrase.image.id)
        try:
            if phrase.has_target and not sum(rle_area(run) for run in phrase.runs()):
                raise ValueError(
                    f"phrase {phrase.id} ({phrase.text!r:.40}): its masks are empty; a phrase "
                    'whose thing is not there has "masks": []'
                )
        except ValueError as error:
            add(ValueError(f"{path}: {error}"))
    checked.num_images = len(images)
    if not checked.num_phrases and not checked.num_problems:
        add(ValueError(f"{path}: no phrases in it"))
    return checked


def _read(path: Path, on_problem: Callable[[ValueError], None]) -> Iterator[Phrase]:
    """The phrases that can be read; of each other line `on_problem` is told."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file of phrases")
    images: dict[str, ReferredImage] = {}
    seen: set[str] = set()
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                phrase = _phrase(path, number, line, images)
                if phrase.id in seen:
                    raise ValueError(f"id {phrase.id!r} is given twice")
            except ValueError as error:
                on_problem(ValueError(f"{path}: line {number}: {error}"))
                continue
            seen.add(phrase.id)
            yield phrase


def _phrase(path: Path, number: int, line: bytes, images: dict[str, ReferredImage]) -> Phrase:
    entry = _entry(line)
    name = entry["image"]
    if name not in images:
        images[name] = ReferredImage(name, path.parent / name, read_size(path.parent / name))
    masks = tuple(_mask(path, mask) for mask in entry["masks"])
    return Phrase(
        id=str(entry.get("id", number)),
        image=images[name],
        text=entry["phrase"],
        raw=entry["phrase"],
        masks=masks,
        has_target=bool(masks),
        row=str(entry.get("row", "")),
    )


def _entry(line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError as error:  # also bytes that are no UTF-8
        raise ValueError(f"no JSON: {error}") from error
    if not isinstance(entry, dict):
        raise ValueError(f"expected an object, got {type(entry).__name__}")
    if missing := [key for key in _KEYS if key not in entry]:
        raise ValueError(f"{', '.join(missing)} missing; there are {', '.join(entry)}")
    for key in ("image", "phrase"):
        if not isinstance(entry[key], str) or not entry[key].strip():
            raise ValueError(f"{key}: expected a text, got {entry[key]!r:.60}")
    if not isinstance(entry["masks"], list):
        raise ValueError(
            f"masks: expected a list, empty where nothing is meant, got {entry['masks']!r:.60}"
        )
    return entry


def _mask(path: Path, mask: Any) -> MaskSource:
    if not isinstance(mask, str):
        if not isinstance(mask, (list, dict)):
            raise ValueError(f"masks: expected file names, polygons or run lengths, got {mask!r}")
        return mask
    file = path.parent / mask
    if not file.is_file():
        raise ValueError(f"{file}: no such mask")
    return file


def _from(path: Path, target: Path) -> str:
    """How the file says where a picture or mask is."""
    return Path(os.path.relpath(target.resolve(), path.parent.resolve())).as_posix()


def _raise(problem: ValueError) -> None:
    raise problem
