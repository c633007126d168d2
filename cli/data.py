"""`mlcd data`: data sets written from the embedded world."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from mlcd.cli.output import note, print_json, progress_bar
from mlcd.cli.verbs import run_verb


def main(arguments: Sequence[str]) -> int | None:
    """Parse the arguments of `mlcd data` and run the verb."""
    return run_verb(
        "data",
        {"playroom": playroom, "things": things},
        arguments,
        description="Data sets: write them from the embedded world, in the public layouts.",
    )


def playroom(
    layout: Annotated[Literal["sop"], Positional, arg(metavar="LAYOUT")],  # noqa: ARG001 - one yet
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    pictures_per_thing: int = 4,
    size: int = 128,
    seed: int = 0,
    photos: Path | None = None,
    json: bool = False,
) -> None:
    """Write pictures of the embedded world in the layout of a public data set.

    Args:
        layout: sop: Stanford Online Products, a retrieval set.
        output: Where the set's own folder is made.
        pictures_per_thing: Pictures of each of the 849 things.
        size: Width and height of a picture, in pixels.
        seed: The same seed gives the same pictures.
        photos: A folder of photographs to use as grounds; rendered grounds when left out.
        json: Print one JSON document.
    """
    from mlcd.playroom.sop import FOLDER, write_sop

    with progress_bar("drawing") as advance:
        counts = write_sop(
            output,
            pictures_per_thing=pictures_per_thing,
            size=size,
            seed=seed,
            photos=photos,
            on_picture=advance,
        )
    if json:
        print_json(
            {"folder": str(output / FOLDER), "classes": counts.classes, "pictures": counts.pictures}
        )
        return
    for split, pictures in counts.pictures.items():
        print(f"{split}: {pictures:,} pictures of {counts.classes[split]:,} things")
    note(f"{output / FOLDER}; measure a tower with `mlcd retrieval eval sop --root {output}`")


def things(json: bool = False) -> None:
    """List the things of the embedded world: name, category, and whether they are kept for tests.

    Args:
        json: Print one JSON document.
    """
    from mlcd.playroom.things import scene_things

    rows = [(thing.name, thing.category, thing.is_test) for thing in scene_things()]
    if json:
        print_json([{"name": n, "category": c, "is_test": t} for n, c, t in rows])
        return
    for name, category, is_test in rows:
        print(f"{'test ' if is_test else 'train'}  {category:<18}  {name}")
