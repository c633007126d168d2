"""Referring segmentation as tasks of lmms-eval: RefCOCO, RefCOCO+ and RefCOCOg.

The files are the published ones; masks and measures are those of `mlcd seg eval`, by our rules.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import PIL.Image

from mlcd.apps.seg.counts import count_masks
from mlcd.apps.seg.lmms_eval.mask_text import read_mask
from mlcd.apps.seg.metrics import SampleRow, summarize
from mlcd.core.datasets.refcoco import read_refcoco
from mlcd.core.environment import path_from_environment
from mlcd.core.images import read_image

VARIABLE = "MLCD_REFCOCO"
_NAMES = {"refcoco": "refcoco", "refcocoplus": "refcoco+", "refcocog": "refcocog"}


def phrases(loaded: Any) -> Any:
    """The phrases of a split below `$MLCD_REFCOCO`, in the place of what the harness loaded.

    Which set and split stands in the name of what was loaded: `refcocoplus_testA`.
    """
    from datasets import Dataset

    name, _, split = str(loaded.split).partition("_")
    root = path_from_environment(VARIABLE, "the folder with refcoco, refcoco+, refcocog and images")
    return Dataset.from_list(
        [
            {
                "id": own.id,
                "image_id": own.image.id,
                "image": str(own.image.path),
                "shape": list(own.image.shape),
                "phrase": own.text,
                "runs": json.dumps(own.runs()),
                "has_target": own.has_target,
            }
            for own in read_refcoco(root, _NAMES[name], split).phrases
        ]
    )


def picture(doc: Mapping[str, Any]) -> list[Any]:
    """The picture of the phrase, as Pillow's."""
    return [PIL.Image.fromarray(read_image(doc["image"]))]


def phrase(doc: Mapping[str, Any]) -> str:
    """The phrase alone: a model asks about it in the words that it was trained with."""
    return str(doc["phrase"])


def measure(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The counts of pixels, from which every metric is made of all phrases together."""
    mask = read_mask(results[0])
    row = SampleRow(
        sample=doc["id"],
        image=doc["image_id"],
        has_target=doc["has_target"],
        free=count_masks(mask, json.loads(doc["runs"]), tuple(doc["shape"])),
        says_seg=mask is not None,
    ).to_dict()
    return dict.fromkeys(("ciou", "giou", "precision_at_50", "seg_rate"), row)


def ciou(rows: Sequence[Mapping[str, Any]]) -> float:
    """Sum of intersections over sum of unions."""
    return _summary(rows)["cIoU"]


def giou(rows: Sequence[Mapping[str, Any]]) -> float:
    """Mean IoU over phrases."""
    return _summary(rows)["gIoU"]


def precision_at_50(rows: Sequence[Mapping[str, Any]]) -> float:
    """Share of phrases with an IoU of at least 0.5."""
    return _summary(rows)["Pr@0.5"]


def seg_rate(rows: Sequence[Mapping[str, Any]]) -> float:
    """Share of phrases that were answered with a mask."""
    return sum(bool(row["says_seg"]) for row in rows) / len(rows)


def _summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return summarize(SampleRow.from_dict(row) for row in rows)
