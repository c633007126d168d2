"""What the report of a probe shows: worst cases as pictures, and the classes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageOps

from mlcd.core.datasets.labelled_set import LabelledSet
from mlcd.core.datasets.retrieval_set import LabelledImage
from mlcd.core.images import Image, read_image
from mlcd.core.results import Picture, Table
from mlcd.core.results.exhibits import Cell

WORST = 8  # pictures in the report
SIDE, GAP = 160, 8  # pixels
MOST_CLASSES = 50  # rows of a table


def picture_row(images: Sequence[LabelledImage]) -> Image:
    """The pictures side by side on white squares, RGB uint8 (160, W, 3)."""
    row = np.full((SIDE, len(images) * (SIDE + GAP) - GAP, 3), 255, dtype=np.uint8)
    for place, image in enumerate(images):
        whole = PillowImage.fromarray(read_image(image.source))
        left = place * (SIDE + GAP)
        row[:, left : left + SIDE] = np.asarray(ImageOps.pad(whole, (SIDE, SIDE), color="#ffffff"))
    return row


def worst_pictures(
    samples: Sequence[Mapping[str, Any]], test: LabelledSet, train: LabelledSet | None = None
) -> list[Picture]:
    """The mistakes that were surest of themselves, the surest first.

    A sample has `top` (best classes, best first), `share` (of the vote or the probability, for its
    label) and `top_share` (for the best class); with `nearest`, ids
    of pictures of `train`, these stand beside the picture.
    """
    by_id = {image.id: image for image in test.images}
    train_by_id = {image.id: image for image in train.images} if train else {}
    wrong = [sample for sample in samples if sample["top"][0] != sample["label"]]
    wrong.sort(key=lambda sample: (sample["share"] - sample["top_share"], sample["id"]))
    pictures = []
    for sample in wrong[:WORST]:
        nearest = [train_by_id[name] for name in sample.get("nearest", ())]
        label, taken = (test.classes[place] for place in (sample["label"], sample["top"][0]))
        caption = (
            f"{sample['id']}: {label} ({sample['share']:.3f}), taken for {taken} "
            f"({sample['top_share']:.3f})"
        )
        if nearest:
            shown = ", ".join(test.classes[image.label] for image in nearest)
            caption += f"; beside it the nearest: {shown}"
        pictures.append(
            Picture(image=picture_row([by_id[sample["id"]], *nearest]), caption=caption)
        )
    return pictures


def class_table(samples: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> Table:
    """Each class with its accuracy and what it is mostly taken for, the worst class first."""
    taken: dict[int, Counter[int]] = defaultdict(Counter)
    for sample in samples:
        taken[sample["label"]][sample["top"][0]] += 1
    rows: list[tuple[float, int, list[Cell]]] = []
    for label, counts in taken.items():
        total, right = counts.total(), counts.pop(label, 0)
        other, times = max(counts.items(), key=lambda item: (item[1], -item[0]), default=(None, 0))
        mistake = None if other is None else f"{classes[other]} ({times})"
        rows.append((right / total, label, [classes[label], total, right / total, mistake]))
    rows.sort(key=lambda row: row[:2])  # the cells are not compared
    note = f"the {MOST_CLASSES} worst of {len(rows):,}" if len(rows) > MOST_CLASSES else ""
    return Table(
        title="Classes",
        columns=["class", "pictures", "accuracy", "mostly taken for"],
        rows=[row[2] for row in rows[:MOST_CLASSES]],
        note=note,
    )
