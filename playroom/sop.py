"""Writes things as a retrieval set in the layout of Stanford Online Products, train and test apart.

A class is a thing, a super class its category. As in the published set the test split goes on
counting where the train split ends, and no class is in both.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mlcd.core.files import write_text
from mlcd.core.images import Image as Picture
from mlcd.core.images import list_images
from mlcd.playroom.renderer import render
from mlcd.playroom.sampling import (
    WHITE,
    random_ground,
    random_photo_ground,
    random_single_scene,
)
from mlcd.playroom.things import STYLES, Thing, scene_things

FOLDER = "Stanford_Online_Products"
HEADER = "image_id class_id super_class_id path"


@dataclass(frozen=True, kw_only=True, slots=True)
class SopCounts:
    """What was written."""

    classes: dict[str, int]
    pictures: dict[str, int]


def write_sop(
    root: Path,
    *,
    pictures_per_thing: int = 4,
    size: int = 128,
    seed: int = 0,
    photos: Path | None = None,
    things: Sequence[Thing] | None = None,
    on_picture: Callable[[int, int], None] | None = None,
) -> SopCounts:
    """Write `root`/Stanford_Online_Products: pictures, Ebay_train.txt, _test.txt and _info.txt.

    Each thing is drawn `pictures_per_thing` times, its styles in turn, a third on white and the
    others on rendered grounds or, with a folder of `photos`, on photographs. The lists are written
    last: a folder without them was interrupted and is written anew. `on_picture(done, total)`
    reports.
    ValueError when the set is already there or nothing would be left of a class.
    """
    if pictures_per_thing < 2:
        raise ValueError(
            f"pictures_per_thing: expected at least 2, so that each picture has its like, "
            f"got {pictures_per_thing}"
        )
    folder = root / FOLDER
    if (folder / "Ebay_info.txt").exists():
        raise ValueError(f"{folder} is already there; remove it or choose another folder")
    shutil.rmtree(folder, ignore_errors=True)
    chosen = list(scene_things() if things is None else things)
    backgrounds = list_images(photos) if photos else []
    categories = sorted({thing.category for thing in chosen})
    splits = {
        "train": [t for t in chosen if not t.is_test],
        "test": [t for t in chosen if t.is_test],
    }
    lists: dict[str, list[str]] = {}
    image_id = class_id = 0
    total = len(chosen) * pictures_per_thing
    for split, members in splits.items():
        lists[split] = []
        for thing in members:
            class_id += 1
            category = f"{thing.category.lower().replace(' & ', '_').replace(' ', '_')}_final"
            (folder / category).mkdir(parents=True, exist_ok=True)
            for number in range(pictures_per_thing):
                image_id += 1
                name = f"{category}/{thing.code}_{number}.JPG"
                picture = _picture(thing, number, size, (seed, image_id), backgrounds)
                Image.fromarray(picture).save(folder / name, "JPEG", quality=92)
                super_class = categories.index(thing.category) + 1
                lists[split].append(f"{image_id} {class_id} {super_class} {name}")
                if on_picture is not None:
                    on_picture(image_id, total)
    for name, lines in {**lists, "info": lists["train"] + lists["test"]}.items():
        write_text(folder / f"Ebay_{name}.txt", "\n".join([HEADER, *lines]) + "\n")
    return SopCounts(
        classes={split: len(members) for split, members in splits.items()},
        pictures={split: len(lines) for split, lines in lists.items()},
    )


def _picture(
    thing: Thing, number: int, size: int, seed: tuple[int, int], photos: Sequence[Path]
) -> Picture:
    random = np.random.default_rng(seed)
    if random.random() < 1 / 3:
        ground = WHITE
    else:
        ground = random_photo_ground(random, photos) if photos else random_ground(random)
    style = STYLES[number % len(STYLES)]
    return render(random_single_scene(thing, style, random, ground=ground), size, size).image
