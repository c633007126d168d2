"""Stanford Online Products (Song et al., CVPR 2016), and sets written in its layout.

    Stanford_Online_Products/Ebay_train.txt    image_id class_id super_class_id path
    Stanford_Online_Products/Ebay_test.txt     (one header line; paths are relative to the folder)
    Stanford_Online_Products/bicycle_final/111085122871_0.JPG ...

Every picture of a split is a query against all others of the split.
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Literal

from mlcd.core.datasets.labelled_set import LabelledSet
from mlcd.core.datasets.retrieval_set import LabelledImage, RetrievalSet

Split = Literal["train", "test"]
FOLDER = "Stanford_Online_Products"
HEADER = ["image_id", "class_id", "super_class_id", "path"]
PUBLISHED = {"train": (59_551, 11_318), "test": (60_502, 11_316)}
"""Pictures and classes of the published splits: the cheapest proof that nothing is missing."""


def read_sop(root: str | Path, split: Split = "test") -> RetrievalSet:
    """The split in `root`, which is `Stanford_Online_Products` or the folder that it lies in.

    Its name is `sop-test` when it has as many pictures and classes as the published split, and
    otherwise says how many it has. The digest covers ids, labels, paths and sizes of the files.
    ValueError naming the line or the file: a missing list, a malformed line, an id given twice, a
    class in two super classes, a picture that is not there.
    """
    images, super_classes, digest = _read(root, split)
    return RetrievalSet(_name(split, len(images), len(super_classes)), images, None, digest)


def read_sop_labelled(
    root: str | Path, split: Split, *, labels: Literal["class", "super_class"]
) -> LabelledSet:
    """The split for a probe, labelled by its products (`class`) or by their kinds.

    The published splits share no class, but all twelve super classes: a probe of classes has to
    hold pictures of one split out. Classes are named by their numbers. ValueError as `read_sop`.
    """
    images, super_classes, digest = _read(root, split)
    number_of = super_classes if labels == "super_class" else {name: name for name in super_classes}
    numbers = sorted(set(number_of.values()))
    place = {number: i for i, number in enumerate(numbers)}
    return LabelledSet(
        f"{_name(split, len(images), len(super_classes))}, {labels.replace('_', ' ')}",
        [str(number) for number in numbers],
        [LabelledImage(each.id, place[number_of[each.label]], each.source) for each in images],
        sha256(f"{labels} {digest}".encode()).hexdigest(),
    )


def _read(root: str | Path, split: Split) -> tuple[list[LabelledImage], dict[int, int], str]:
    """The pictures, the super class of each class, and the digest."""
    if split not in PUBLISHED:
        raise ValueError(f"split: expected one of {', '.join(PUBLISHED)}, got {split!r}")
    folder = _find(Path(root), f"Ebay_{split}.txt")
    lines = (folder / f"Ebay_{split}.txt").read_text(encoding="utf-8").splitlines()
    if not lines or lines[0].split() != HEADER:
        raise ValueError(
            f"{folder / f'Ebay_{split}.txt'}: expected the header {' '.join(HEADER)!r}, "
            f"got {lines[0] if lines else 'an empty file'!r}"
        )
    images: list[LabelledImage] = []
    super_classes: dict[int, int] = {}
    digest = sha256()
    missing: list[str] = []
    for number, line in enumerate(lines[1:], start=2):
        where = f"{folder / f'Ebay_{split}.txt'}, line {number}"
        image_id, label, super_class, name = _parse(line, where)
        if super_classes.setdefault(label, super_class) != super_class:
            raise ValueError(
                f"{where}: class {label} is in super class {super_class}, before "
                f"in {super_classes[label]}"
            )
        path = folder / name
        try:
            size = os.stat(path).st_size  # noqa: PTH116 - sixty thousand of them
        except OSError:
            missing.append(name)
            continue
        digest.update(f"{image_id} {label} {name} {size}\n".encode())
        images.append(LabelledImage(str(image_id), label, path))
    if missing:
        raise ValueError(
            f"{folder}: {len(missing):,} of {len(lines) - 1:,} pictures of the {split} split are "
            f"missing, first {missing[0]}; unpack the archive again"
        )
    return images, super_classes, digest.hexdigest()


def _find(root: Path, name: str) -> Path:
    for folder in (root, root / FOLDER):
        if (folder / name).is_file():
            return folder
    raise ValueError(f"{root}: expected {name} in it or in {FOLDER} below it, found neither")


def _parse(line: str, where: str) -> tuple[int, int, int, str]:
    fields = line.split(maxsplit=3)
    if len(fields) != 4 or not all(field.isdecimal() for field in fields[:3]):
        raise ValueError(f"{where}: expected three numbers and a path, got {line!r}")
    path = Path(fields[3])
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{where}: expected a path inside of the set's folder, got {fields[3]!r}")
    return int(fields[0]), int(fields[1]), int(fields[2]), fields[3]


def _name(split: Split, num_images: int, num_classes: int) -> str:
    if (num_images, num_classes) == PUBLISHED[split]:
        return f"sop-{split}"
    return f"sop-layout-{split} ({num_images:,} pictures, {num_classes:,} classes)"
