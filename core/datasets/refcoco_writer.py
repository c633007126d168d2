"""Writes sets in RefCOCO's layout (`refcoco_layout.py`), which the refer API reads too."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlcd.core.datasets.refcoco_layout import Layout
from mlcd.core.files import atomic_path, write_text
from mlcd.core.masks import Mask, mask_box
from mlcd.core.rle import encode_mask

_PROTOCOL = 2  # the newest that Python 2 reads, for which the refer API was written


def write_refcoco(
    root: str | Path,
    layout: Layout,
    *,
    description: str,
    images: Sequence[Mapping[str, Any]],
    annotations: Sequence[Mapping[str, Any]],
    categories: Sequence[Mapping[str, Any]],
    refs: Sequence[Mapping[str, Any]],
) -> None:
    """Write instances.json and then the refs below `root`; what was there is replaced.

    Pictures are the caller's. Entries are as `image_entry`, `annotation_entry` and `ref_entry`
    make them.
    """
    instances = {
        "info": {"description": description},
        "images": list(images),
        "annotations": list(annotations),
        "categories": list(categories),
    }
    write_text(Path(root) / layout.name / "instances.json", json.dumps(instances))
    path = Path(root) / layout.refs_file
    if path.suffix == ".p":
        # A pickle tells equal texts from the same one; read from JSON, none are the same.
        plain = json.loads(json.dumps(list(refs)))
        with atomic_path(path) as part:
            part.write_bytes(pickle.dumps(plain, protocol=_PROTOCOL))
    else:
        write_text(path, json.dumps(list(refs)))


def image_entry(image_id: int, file_name: str, shape: tuple[int, int]) -> dict[str, Any]:
    """A picture of (H, W) pixels."""
    return {"id": image_id, "file_name": file_name, "height": shape[0], "width": shape[1]}


def annotation_entry(
    annotation_id: int, image_id: int, category_id: int, mask: Mask
) -> dict[str, Any]:
    """A thing of a picture. Its run lengths stand in a list, which the refer API stacks."""
    x0, y0, x1, y1 = mask_box(mask) or (0.0, 0.0, 0.0, 0.0)
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": [encode_mask(mask)],
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": int(mask.sum()),
        "iscrowd": 0,
    }


def ref_entry(
    layout: Layout,
    ref_id: int,
    *,
    image: Mapping[str, Any],
    annotations: Sequence[Mapping[str, Any]],
    split: str,
    texts: Sequence[str],
    first_sentence: int,
    row: str = "",
) -> dict[str, Any]:
    """Phrases that mean the same thing; its sentences are numbered from `first_sentence` on.

    gRefCOCO takes any number of annotations, the others exactly one (ValueError).
    """
    is_general = layout.name == "grefcoco"
    if not is_general and len(annotations) != 1:
        raise ValueError(
            f"{layout.name} takes phrases that mean one thing, got {len(annotations)}; write them "
            "as grefcoco"
        )
    ids = [annotation["id"] for annotation in annotations]
    kinds = [annotation["category_id"] for annotation in annotations]
    entry = {
        "ref_id": ref_id,
        "ann_id": (ids or [-1]) if is_general else ids[0],
        "category_id": (kinds or [-1]) if is_general else kinds[0],
        "file_name": image["file_name"],
        "image_id": image["id"],
        "split": split,
        "sent_ids": list(range(first_sentence, first_sentence + len(texts))),
        "sentences": [_sentence(text, first_sentence + i) for i, text in enumerate(texts)],
    }
    return entry | ({"row": row} if row else {})


def _sentence(raw: str, sentence_id: int) -> dict[str, Any]:
    """`sent` and `tokens` are lower case, without punctuation."""
    tokens = re.sub(r"[^\w\s'-]", " ", raw.lower()).split()
    return {"raw": raw, "sent": " ".join(tokens), "sent_id": sentence_id, "tokens": tokens}
