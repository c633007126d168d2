"""COCO's instances as phrases: the name of a category means all of its kind in a picture."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from mlcd.core.datasets.referring_set import (
    MaskSource,
    Phrase,
    ReferredImage,
    ReferringSet,
    digest_of,
)


def read_coco_phrases(instances: str | Path, images: str | Path) -> ReferringSet:
    """A phrase for each category of each picture of COCO's instances.json, crowds included.

    ValueError for a file that is no such JSON, and for pictures that are not in `images`.
    """
    path, folder = Path(instances), Path(images)
    document = _read(path)
    names = {category["id"]: str(category["name"]) for category in document["categories"]}
    pictures = {
        image["id"]: ReferredImage(
            str(image["id"]), folder / image["file_name"], (image["height"], image["width"])
        )
        for image in document["images"]
    }
    masks: defaultdict[tuple[Any, Any], list[MaskSource]] = defaultdict(list)
    for annotation in document["annotations"]:
        place = annotation["image_id"], annotation["category_id"]
        if place[0] not in pictures or place[1] not in names:
            raise ValueError(
                f"{path}: annotation {annotation.get('id')} is about picture {place[0]} and "
                f"category {place[1]}, which are not both in it"
            )
        masks[place].append(annotation["segmentation"])
    if missing := [p.path.name for p in pictures.values() if not p.path.is_file()]:
        raise ValueError(
            f"{folder}: {len(missing):,} of {len(pictures):,} pictures are missing, first "
            f"{missing[0]}"
        )
    phrases = [
        Phrase(
            id=f"{image_id}/{category_id}",
            image=pictures[image_id],
            text=names[category_id],
            masks=tuple(meant),
            has_target=True,
        )
        for (image_id, category_id), meant in masks.items()
    ]
    return ReferringSet(path.stem, phrases, digest_of(path.stem, phrases))


def _read(path: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file") from error
    except ValueError as error:
        raise ValueError(f"{path}: no JSON, or cut short: {error}") from error
    needed = {
        "images": ("id", "file_name", "height", "width"),
        "annotations": ("image_id", "category_id", "segmentation"),
        "categories": ("id", "name"),
    }
    for name, keys in needed.items():
        entries = document.get(name) if isinstance(document, dict) else None
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise ValueError(f"{path}: expected a list of objects under {name!r}")
        for number, entry in enumerate(entries):
            if missing := [key for key in keys if key not in entry]:
                raise ValueError(f"{path}: {name}: entry {number}: {', '.join(missing)} missing")
    return document  # type: ignore[no-any-return]
