"""A small set in RefCOCO's layout, made by hand, for tests to break."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

HEIGHT, WIDTH = 12, 20
SQUARE = [2.0, 1.0, 8.0, 1.0, 8.0, 5.0, 2.0, 5.0]  # 6 x 4 pixels
BESIDE = [6.0, 3.0, 12.0, 3.0, 12.0, 9.0, 6.0, 9.0]  # shares 2 x 2 with it
RUNS = {"size": [HEIGHT, WIDTH], "counts": [12, 24, 204]}  # columns 1 and 2


@dataclass
class Handmade:
    """What is written; a test changes it first."""

    name: str = "refcoco"
    by: str = "unc"
    prefix: str = "made_"
    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    refs: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for number in (1, 2):
            file_name = f"{self.prefix}{number:012d}.jpg"
            image = {"id": number, "file_name": file_name, "height": HEIGHT, "width": WIDTH}
            self.images.append(image)
        self.annotations += [
            annotation(11, 1, [SQUARE, BESIDE]),
            annotation(12, 1, [RUNS]),
            annotation(21, 2, RUNS),
        ]
        self.refs += [
            ref(101, 1, 11, "val", ["Left dog!", "the one on the left"]),
            ref(102, 1, 12, "val", ["right dog"]),
            ref(201, 2, 21, "testAB", ["cat"]),
        ]

    def write(self, root: Path) -> Path:
        folder = root / self.name
        folder.mkdir(parents=True, exist_ok=True)
        instances = {"images": self.images, "annotations": self.annotations, "categories": []}
        (folder / "instances.json").write_text(json.dumps(instances))
        if self.name == "grefcoco":
            (folder / f"grefs({self.by}).json").write_text(json.dumps(self.refs))
        else:
            (folder / f"refs({self.by}).p").write_bytes(pickle.dumps(self.refs, protocol=2))
        pictures = root / "images/mscoco/images/train2014"
        pictures.mkdir(parents=True, exist_ok=True)
        for image in self.images:
            pixels = np.full((HEIGHT, WIDTH, 3), 200, dtype=np.uint8)
            PIL.Image.fromarray(pixels).save(pictures / image["file_name"])
        return root


def annotation(number: int, image: int, segmentation: Any, **others: Any) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "segmentation": segmentation,
        "iscrowd": 0,
        **others,
    }


def ref(
    number: int, image: int, thing: int | list[int], split: str, texts: Sequence[str]
) -> dict[str, Any]:
    sentences = [
        {"raw": text, "sent": text.lower().rstrip("!"), "sent_id": 10 * number + i, "tokens": []}
        for i, text in enumerate(texts)
    ]
    return {
        "ref_id": number,
        "ann_id": thing,
        "category_id": 1,
        "file_name": "COCO_train2014_000000000001_11.jpg",  # as published: with an annotation
        "image_id": image,
        "split": split,
        "sent_ids": [sentence["sent_id"] for sentence in sentences],
        "sentences": sentences,
    }
