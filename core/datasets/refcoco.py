"""RefCOCO, RefCOCO+ (Yu et al., ECCV 2016), RefCOCOg (Mao et al., CVPR 2016) and gRefCOCO (Liu et
al., CVPR 2023), and sets written in their layout (`refcoco_layout.py`), as phrases with masks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlcd.core.datasets.refcoco_files import RefcocoFiles, find_images, open_refcoco
from mlcd.core.datasets.refcoco_layout import Counts, find_layout, is_in_split
from mlcd.core.datasets.referring_set import (
    MaskSource,
    Phrase,
    ReferredImage,
    ReferringSet,
    digest_of,
)

NO_TARGET = -1
"""Stands for the annotation of a phrase whose thing is not there (gRefCOCO)."""


def read_refcoco(
    root: str | Path,
    name: str = "refcoco",
    split: str = "val",
    *,
    by: str | None = None,
    images: str | Path | None = None,
    allow_other_counts: bool = False,
) -> ReferringSet:
    """The phrases of a split below `root`, each sentence on its own, in the order of the file.

    `name`: refcoco, refcoco+, refcocog or grefcoco; `by`: unc, umd or google, the one that results
    are printed for when left out. `images`: the folder of pictures when it is not below `root`.
    A set of COCO's own pictures must have as many refs, pictures and phrases as were published,
    unless `allow_other_counts`; other sets say their counts in their name.

    ValueError as `open_refcoco`, and for a split that is not there, other counts, a picture that
    is missing, a ref whose picture or annotation is not there or do not belong together.
    """
    layout = find_layout(name, by)
    if split not in layout.splits:
        raise ValueError(
            f"{name} ({layout.by}) has no split {split!r}: expected one of "
            f"{', '.join(layout.splits)}"
        )
    files = open_refcoco(root, layout)
    refs = split_refs(files, split)
    title = f"{name} ({layout.by}) {split}"
    if not refs:
        raise ValueError(f"{files.root / layout.refs_file}: no refs of the split {split}")
    counts = count_refs(refs)
    if not files.is_published:
        title = f"{title}, another set ({counts})"
    elif not counts.agrees_with(layout.splits[split]):
        if not allow_other_counts:
            raise ValueError(
                f"{title}: {counts}; published were {layout.splits[split]}. A part is missing or "
                f"was changed: get the files again, or allow other counts"
            )
        title = f"{title}, not as published ({counts})"
    folder = find_images(files.root, None if images is None else Path(images))
    pictures = _pictures(files, refs, folder)
    phrases = [
        phrase for ref in refs for phrase in phrases_of(files, ref, pictures[ref["image_id"]])
    ]
    return ReferringSet(title, phrases, digest_of(title, phrases))


def split_refs(files: RefcocoFiles, split: str) -> list[dict[str, Any]]:
    """The refs of a split, in the order of the file."""
    return [ref for ref in files.refs if is_in_split(files.layout, str(ref["split"]), split)]


def count_refs(refs: Iterable[Mapping[str, Any]]) -> Counts:
    """How many refs, pictures and phrases these are."""
    refs = list(refs)
    return Counts(
        refs=len(refs),
        images=len({ref["image_id"] for ref in refs}),
        phrases=sum(len(ref["sentences"]) for ref in refs),
    )


def phrases_of(files: RefcocoFiles, ref: Mapping[str, Any], image: ReferredImage) -> list[Phrase]:
    """A phrase for each sentence of a ref. ValueError when its annotations cannot be meant."""
    masks = _masks(files, ref)
    layout = files.layout
    return [
        Phrase(
            id=f"{layout.name}-{layout.by}/{ref['ref_id']}/{sentence['sent_id']}",
            image=image,
            text=str(sentence["sent"]),
            raw=str(sentence.get("raw", sentence["sent"])),
            masks=masks or (),
            has_target=masks is not None,
            row=str(ref.get("row", "")),
        )
        for sentence in ref["sentences"]
    ]


def picture_of(files: RefcocoFiles, image_id: int, folder: Path) -> ReferredImage:
    """The picture of that id; ValueError when instances.json has none.

    A ref's own `file_name` is not looked at: it carries the number of an annotation.
    """
    image = files.images.get(image_id)
    if image is None:
        raise ValueError(
            f"{files.layout.name}/instances.json: no picture {image_id}, which a ref is about"
        )
    return ReferredImage(
        str(image_id), folder / image["file_name"], (image["height"], image["width"])
    )


def _pictures(
    files: RefcocoFiles, refs: Iterable[Mapping[str, Any]], folder: Path
) -> dict[int, ReferredImage]:
    wanted = dict.fromkeys(ref["image_id"] for ref in refs)
    pictures = {image_id: picture_of(files, image_id, folder) for image_id in wanted}
    missing = [image.path.name for image in pictures.values() if not image.path.is_file()]
    if missing:
        raise ValueError(
            f"{folder}: {len(missing):,} of {len(pictures):,} pictures are missing, first "
            f"{missing[0]}; unpack COCO's train2014 again"
        )
    return pictures


def _masks(files: RefcocoFiles, ref: Mapping[str, Any]) -> tuple[MaskSource, ...] | None:
    """The segmentations that a ref means; None when it means nothing."""
    own = ref["ann_id"]
    ids = own if isinstance(own, list) else [own]
    if ids == [NO_TARGET]:
        return None
    masks: list[MaskSource] = []
    for ann_id in ids:
        annotation = files.annotations.get(ann_id)
        where = f"{files.layout.refs_file}: ref {ref['ref_id']}"
        if annotation is None:
            raise ValueError(f"{where}: annotation {ann_id!r} is not in instances.json")
        if annotation["image_id"] != ref["image_id"]:
            raise ValueError(
                f"{where} is about picture {ref['image_id']}, its annotation {ann_id} about "
                f"picture {annotation['image_id']}"
            )
        # Of several things those that stand for a crowd are left out, as ReLA leaves them.
        if not (isinstance(own, list) and annotation.get("iscrowd")):
            masks.append(annotation["segmentation"])
    return tuple(masks)
