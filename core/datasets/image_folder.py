"""Labelled pictures as torchvision's ImageFolder lays them out: a sub-folder for each class.

train/dog/xxx.png    train/dog/deeper/yyy.png    train/cat/123.png ...
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

from mlcd.core.datasets.labelled_set import LabelledSet
from mlcd.core.datasets.retrieval_set import LabelledImage
from mlcd.core.images import list_images


def read_image_folder(root: str | Path) -> LabelledSet:
    """The classes and pictures below `root`; labels count the sub-folders in the order of names.

    Ids are paths below `root`. Hidden folders and files are left out. The digest covers ids,
    labels and sizes of the files. ValueError: no sub-folders, or one without a picture, which
    would move the labels of all that follow.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root}: expected a folder with one sub-folder for each class")
    classes = sorted(
        path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
    if not classes:
        raise ValueError(f"{root}: expected one sub-folder for each class, found none")
    images: list[LabelledImage] = []
    digest = sha256()
    for label, name in enumerate(classes):
        for path in list_images(root / name):
            place = path.relative_to(root).as_posix()
            size = os.stat(path).st_size  # noqa: PTH116 - a million of them
            digest.update(os.fsencode(place) + f"\0{label} {size}\n".encode())
            images.append(LabelledImage(place, label, path))
    return LabelledSet(root.resolve().name, classes, images, digest.hexdigest())
