"""The files of one of the RefCOCO sets, read and looked through. `refcoco.py` makes splits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlcd.core.datasets.plain_pickle import read_plain_pickle
from mlcd.core.datasets.refcoco_layout import COCO_PREFIX, IMAGE_FOLDERS, Layout

_REF_KEYS = ("ref_id", "ann_id", "image_id", "split", "sentences")
_NUMBERS = ("id", "ref_id", "image_id", "height", "width")
_LISTS = {
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("id", "image_id", "segmentation"),
}


@dataclass(frozen=True, slots=True)
class RefcocoFiles:
    """What stands in the two files of a set."""

    layout: Layout
    root: Path
    refs: list[dict[str, Any]]
    images: Mapping[int, dict[str, Any]]
    annotations: Mapping[int, dict[str, Any]]

    @property
    def is_published(self) -> bool:
        """Whether its pictures are those of the published sets, whose counts are known."""
        return all(image["file_name"].startswith(COCO_PREFIX) for image in self.images.values())


def missing_files(root: str | Path, layout: Layout) -> list[str]:
    """Which of the set's two files are not below `root`."""
    needed = (layout.refs_file, f"{layout.name}/instances.json")
    return [name for name in needed if not (Path(root) / name).is_file()]


def open_refcoco(root: str | Path, layout: Layout) -> RefcocoFiles:
    """Read the set's phrases and instances below `root`.

    ValueError naming the file: one that is missing, damaged, or lacks something; a pickle that
    holds anything else than plain values (nothing of it is run); an id that is given twice.
    """
    root = Path(root)
    if missing := missing_files(root, layout):
        raise ValueError(
            f"{root}: expected {' and '.join(missing)} in it; see `mlcd data check refcoco {root}`"
        )
    refs_path = root / layout.refs_file
    refs = read_plain_pickle(refs_path) if refs_path.suffix == ".p" else _read_json(refs_path)
    instances_path = root / layout.name / "instances.json"
    instances = _read_json(instances_path)
    if not isinstance(instances, dict):
        raise ValueError(
            f"{instances_path}: expected an object with images and annotations, got "
            f"{type(instances).__name__}"
        )
    found = {
        name: _by_id(instances.get(name), keys, f"{instances_path}: {name}")
        for name, keys in _LISTS.items()
    }
    for image in found["images"].values():
        name = image["file_name"]
        if not isinstance(name, str) or Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(
                f"{instances_path}: picture {image['id']}: expected a name inside of the folder of "
                f"pictures, got {name!r}"
            )
    return RefcocoFiles(
        layout, root, _checked_refs(refs, refs_path), found["images"], found["annotations"]
    )


def find_images(root: Path, images: Path | None) -> Path:
    """The folder of pictures: `images`, or where the sets keep them. ValueError if not there."""
    places = [images] if images is not None else [root / place for place in IMAGE_FOLDERS]
    for place in places:
        if place.is_dir():
            return place
    if images is not None:
        raise ValueError(f"{images}: no such folder of pictures")
    raise ValueError(
        f"{root}: no folder of pictures: expected {IMAGE_FOLDERS[0]} (or "
        f"{' or '.join(IMAGE_FOLDERS[1:])}) below it; put COCO's train2014 there, or say where it "
        "is with `images`"
    )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:  # also bytes that are no UTF-8
        raise ValueError(f"{path}: no JSON, or cut short: {error}") from error


def _by_id(entries: Any, keys: tuple[str, ...], where: str) -> dict[int, dict[str, Any]]:
    if not isinstance(entries, list):
        raise ValueError(f"{where}: expected a list, got {type(entries).__name__}")
    found: dict[int, dict[str, Any]] = {}
    for number, entry in enumerate(entries):
        _check_keys(entry, keys, f"{where}: entry {number}")
        if entry["id"] in found:
            raise ValueError(f"{where}: id {entry['id']} is given twice")
        found[entry["id"]] = entry
    return found


def _checked_refs(refs: Any, path: Path) -> list[dict[str, Any]]:
    if not isinstance(refs, list):
        raise ValueError(f"{path}: expected a list of refs, got {type(refs).__name__}")
    seen: set[int] = set()
    for number, ref in enumerate(refs):
        where = f"{path}: entry {number}"
        _check_keys(ref, _REF_KEYS, where)
        ids = ref["ann_id"] if isinstance(ref["ann_id"], list) else [ref["ann_id"]]
        if not ids or not all(isinstance(ann_id, int) for ann_id in ids):
            raise ValueError(f"{where}: ann_id: expected a number or several, got {ids!r:.60}")
        if not isinstance(ref["sentences"], list) or not ref["sentences"]:
            raise ValueError(f"{where}: expected a list of sentences")
        for sentence in ref["sentences"]:
            _check_keys(sentence, ("sent", "sent_id"), f"{where}: a sentence")
        if ref["ref_id"] in seen:
            raise ValueError(f"{where}: ref_id {ref['ref_id']} is given twice")
        seen.add(ref["ref_id"])
    return refs


def _check_keys(entry: Any, keys: tuple[str, ...], where: str) -> None:
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: expected an object, got {type(entry).__name__}")
    if missing := [key for key in keys if key not in entry]:
        raise ValueError(
            f"{where}: {', '.join(missing)} missing; there are {', '.join(map(str, entry))}"
        )
    for key in _NUMBERS:
        if key in keys and not isinstance(entry[key], int):
            raise ValueError(f"{where}: {key}: expected a whole number, got {entry[key]!r:.60}")
