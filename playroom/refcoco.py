"""Writes the playroom's RefCOCO, RefCOCO+, RefCOCOg and gRefCOCO, in the official layouts.

    refcoco/  refcoco+/  refcocog/  grefcoco/     phrases and instances.json, as published
    images/mscoco/images/train2014/               pictures, which the four sets share
    about.json                                    settings and counts; comes last

RefCOCOg has one test, in which testA and testB are told apart by their rows.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mlcd.core.datasets.refcoco import count_refs
from mlcd.core.datasets.refcoco_layout import IMAGE_FOLDERS, Layout, find_layout
from mlcd.core.datasets.refcoco_writer import (
    annotation_entry,
    image_entry,
    ref_entry,
    write_refcoco,
)
from mlcd.core.files import write_text
from mlcd.playroom.conversations import SIZE
from mlcd.playroom.names import categories
from mlcd.playroom.referring import PARTS, TASKS, Part, Task, phrased, referring_scene
from mlcd.playroom.set_files import all_done, save_picture

ABOUT = "about.json"
DESCRIPTION = "Pictures of the embedded world, rendered; no photographs"
_MOST_THINGS = 100  # numbers of annotations that a picture keeps for itself


@dataclass(frozen=True, kw_only=True, slots=True)
class RefcocoSizes:
    """What is written; the same settings give the same files."""

    pictures: Mapping[Part, int] = field(
        default_factory=lambda: {"train": 2000, "val": 200, "testA": 200, "testB": 200}
    )
    """Pictures of each part, which all four sets use."""
    most_phrases: int = 4
    """Of one set about one picture."""
    seed: int = 0
    size: int = SIZE
    """Pixels of a picture's shorter side."""

    def __post_init__(self) -> None:
        if any(count < 1 for count in self.pictures.values()) or self.most_phrases < 1:
            raise ValueError(
                f"expected at least one picture of each part and one phrase about it, got "
                f"{dict(self.pictures)} and {self.most_phrases}"
            )


class _Drawn(NamedTuple):
    """A picture as the files have it."""

    image: dict[str, Any]
    annotations: list[dict[str, Any]]
    phrases: dict[Task, dict[tuple[int, ...], list[str]]]
    """Of each task: what is meant, in which words."""
    part: Part
    row: str


def write_playroom_refcoco(
    root: Path,
    settings: RefcocoSizes = RefcocoSizes(),
    *,
    workers: int = 1,
    on_picture: Callable[[int, int], None] | None = None,
) -> dict[str, dict[str, dict[str, int | None]]]:
    """Write the four sets into `root`; the counts of each split of each set.

    A folder without about.json was interrupted and is written anew. `on_picture(done, total)`
    reports. ValueError when the sets are already there.
    """
    if (root / ABOUT).exists():
        raise ValueError(f"{root} holds sets already; remove them or choose another folder")
    jobs = [
        partial(_draw, root, settings, part, index)
        for part in PARTS
        for index in range(settings.pictures.get(part, 0))
    ]
    drawn: list[_Drawn] = []
    for one in all_done(jobs, workers):
        drawn.append(one)
        if on_picture is not None:
            on_picture(len(drawn), len(jobs))
    counts: dict[str, Any] = {task: _write_set(root, task, drawn) for task in TASKS}
    about = {"settings": asdict(settings), "counts": counts}
    write_text(root / ABOUT, json.dumps(about, indent=1) + "\n")
    return counts


def _draw(root: Path, settings: RefcocoSizes, part: Part, index: int) -> _Drawn:
    scene = referring_scene(settings.seed, index, part=part, size=settings.size)
    image_id = sum(settings.pictures.get(p, 0) for p in PARTS[: PARTS.index(part)]) + index + 1
    height, width = scene.sight.image.shape[:2]
    image = image_entry(image_id, f"playroom_{part}_{index:07d}.jpg", (height, width))
    save_picture(scene.sight.image, root / IMAGE_FOLDERS[0] / image["file_name"])
    kinds = list(categories())
    phrases: dict[Task, dict[tuple[int, ...], list[str]]] = {}
    for task in TASKS:
        picture = phrased(
            scene,
            settings.seed,
            index,
            task=task,
            part=part,
            most_phrases=settings.most_phrases,
        )
        said: defaultdict[tuple[int, ...], list[str]] = defaultdict(list)
        for phrase in picture.phrases:
            said[phrase.targets].append(phrase.text)
        phrases[task] = dict(said)
    annotations = [
        annotation_entry(
            _MOST_THINGS * image_id + number,
            image_id,
            1 + kinds.index(thing.category),
            thing.mask,
        )
        for number, thing in enumerate(picture.things)
    ]
    return _Drawn(image, annotations, phrases, part, picture.row)


def _write_set(root: Path, task: Task, drawn: Sequence[_Drawn]) -> dict[str, dict[str, int | None]]:
    layout = find_layout(task)
    refs: list[dict[str, Any]] = []
    num_sentences = 0
    for one in drawn:
        for targets, texts in one.phrases[task].items():
            refs.append(
                ref_entry(
                    layout,
                    len(refs) + 1,
                    image=one.image,
                    annotations=[one.annotations[target] for target in targets],
                    split=_split(layout, one.part),
                    texts=texts,
                    first_sentence=num_sentences + 1,
                    row=one.row,
                )
            )
            num_sentences += len(texts)
    write_refcoco(
        root,
        layout,
        description=DESCRIPTION,
        images=[one.image for one in drawn],
        annotations=[annotation for one in drawn for annotation in one.annotations],
        categories=[
            {"id": number, "name": kind, "supercategory": kind}
            for number, kind in enumerate(categories(), start=1)
        ],
        refs=refs,
    )
    return {
        split: count_refs(ref for ref in refs if ref["split"] == split)._asdict()
        for split in layout.splits
    }


def _split(layout: Layout, part: Part) -> str:
    return part if part in layout.splits else "test"
