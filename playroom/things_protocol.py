"""The embedded retrieval measure: a thing drawn in one style finds itself in the other.

Queries are Noto pictures and the gallery Fluent pictures of the same test things, which no embedded
tower was trained on; one right answer each.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

import numpy as np

from mlcd.core.datasets.retrieval_set import LabelledImage, RetrievalSet
from mlcd.core.images import list_images
from mlcd.playroom.renderer import render
from mlcd.playroom.sampling import WHITE, random_ground, random_photo_ground
from mlcd.playroom.scenes import Ground, PlacedThing, Scene
from mlcd.playroom.things import Style, Thing, test_things

_SIZE_ON_WHITE, _SIZE_ON_GROUND = 0.8, 0.75


def things_retrieval_set(
    *, ground: Literal["white", "rendered"] | Path, size: int = 128, seed: int = 0
) -> RetrievalSet:
    """Noto queries and Fluent gallery of the test things, drawn at `size` x `size` pixels.

    `ground`: "white", "rendered" (a random pattern each), or a folder of photographs of which each
    picture gets a random window.
    """
    photos = list_images(ground) if isinstance(ground, Path) else []
    name = "photographs" if isinstance(ground, Path) else ground
    sides: dict[Style, list[LabelledImage]] = {"noto": [], "fluent": []}
    digest = hashlib.sha256(json.dumps([name, size, seed]).encode())
    for style_index, (style, pictures) in enumerate(sides.items()):
        for label, thing in enumerate(test_things()):
            random = np.random.default_rng((seed, style_index, label))
            if isinstance(ground, Path):
                behind = random_photo_ground(random, photos)
            else:
                behind = WHITE if ground == "white" else random_ground(random)
            image = render(_centred(thing, style, behind), size, size).image
            digest.update(image.tobytes())
            pictures.append(LabelledImage(id=f"{style}/{thing.code}", label=label, source=image))
    return RetrievalSet(
        name=f"things-{name}",
        queries=sides["noto"],
        gallery=sides["fluent"],
        digest=digest.hexdigest(),
    )


def _centred(thing: Thing, style: Style, ground: Ground) -> Scene:
    size = _SIZE_ON_WHITE if ground == WHITE else _SIZE_ON_GROUND
    return Scene(things=(PlacedThing(thing=thing, style=style, size=size),), ground=ground)
