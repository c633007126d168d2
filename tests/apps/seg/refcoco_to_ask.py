"""A small set in RefCOCO's layout about pictures that the toy model learned to speak of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import PIL.Image
from tests.core.datasets.refcoco_by_hand import (
    BESIDE,
    HEIGHT,
    RUNS,
    SQUARE,
    WIDTH,
    Handmade,
    annotation,
    ref,
)
from tests.core.language.toy_models import speckled

LARGE = [0.0, 0.0, 19.0, 0.0, 19.0, 11.0, 0.0, 11.0]
PHRASES = {
    1: ["cat", "dog", "birds", "the cat on the left"],
    2: ["a cat", "dog"],
    3: ["birds", "cat", "birds on the right"],
    4: ["cat"],
    5: ["dog"],
}


def write_set(root: Path, name: str = "refcoco") -> Path:
    """Five pictures, eleven phrases, all in val; of gRefCOCO the dogs are not there."""
    made = Handmade(name=name)
    made.images.clear()
    made.annotations.clear()
    made.refs.clear()
    things: list[Any] = [[SQUARE, BESIDE], [RUNS], [LARGE], [BESIDE], RUNS]
    for number, texts in PHRASES.items():
        file_name = f"made_{number:012d}.png"
        image = {"id": number, "file_name": file_name, "height": HEIGHT, "width": WIDTH}
        made.images.append(image)
        for place, text in enumerate(texts):
            own = 10 * number + place
            made.annotations.append(annotation(own, number, things[own % 5]))
            meant: Any = own
            if name == "grefcoco":
                meant = [-1] if "dog" in text else [own]
            made.refs.append(ref(own, number, meant, "val", [text]))
    made.write(root)
    for image in made.images:
        picture = PIL.Image.fromarray(speckled(WIDTH, HEIGHT, seed=image["id"]))
        picture.save(root / "images/mscoco/images/train2014" / image["file_name"])
    return root
