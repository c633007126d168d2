"""Rebuilds `samples/`, which the demo searches: things of both styles and a few photographs.

    python -m mlcd.assets.build_samples --photographs FOLDER -o samples

FOLDER holds scikit-image's data pictures, of which the public domain ones below are taken.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from PIL import Image

from mlcd.core.files import write_text
from mlcd.playroom.renderer import render
from mlcd.playroom.sampling import WHITE, random_ground, random_single_scene
from mlcd.playroom.things import STYLES, test_things

SIZE = 256
THINGS = (
    "strawberry", "sunflower", "turtle", "owl", "trumpet", "helicopter", "teapot", "boat",
    "accordion", "bike", "telescope", "duck",
)  # fmt: skip
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
LICENCES = """\
The drawn things: Noto Emoji (Apache License 2.0, Google LLC) and Fluent Emoji (MIT License,
Microsoft Corporation) on grounds rendered by this project.
Photographs, from scikit-image's data folder, reduced:
astronaut  Eileen Collins, NASA, public domain
chelsea    Chelsea the cat, Stefan van der Walt, CC0
coffee     a cup of coffee, Rachel Michetti, CC0
rocket     Falcon 9 launch, SpaceX, CC0
"""


def build(photographs: Path, output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]) -> None:
    """Write the samples as JPEG: each thing once in each style; no tower was trained on them."""
    output.mkdir(parents=True, exist_ok=True)
    chosen = [thing for thing in test_things() if thing.short_name in THINGS]
    random = np.random.default_rng(7)
    for thing in chosen:
        for style in STYLES:
            ground = WHITE if random.random() < 0.4 else random_ground(random)
            scene = random_single_scene(thing, style, random, ground=ground, variation=0.5)
            name = f"{thing.short_name.replace('_', '-')}-{style}.jpg"
            Image.fromarray(render(scene, SIZE, SIZE).image).save(output / name, quality=88)
    for name in PHOTOGRAPHS:
        photo = Image.open(photographs / name).convert("RGB")
        photo.thumbnail((320, 320), Image.Resampling.LANCZOS)
        photo.save(output / f"{Path(name).stem}.jpg", quality=88)
    write_text(output / "LICENCES.txt", LICENCES)
    print(f"{output}: {len(chosen)} things in {len(STYLES)} styles, {len(PHOTOGRAPHS)} photographs")


if __name__ == "__main__":
    tyro.cli(build)
