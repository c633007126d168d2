"""`mlcd data`: data sets written from the embedded world; `data_files` checks and converts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg, subcommand

from mlcd.cli.data_episodes import OpenEqa, RoboVqa, write_openeqa, write_robovqa
from mlcd.cli.data_files import check, convert
from mlcd.cli.output import note, print_json, progress_bar
from mlcd.cli.verbs import run_verb


def main(arguments: Sequence[str]) -> int | None:
    """Parse the arguments of `mlcd data` and run the verb."""
    return run_verb(
        "data",
        {"playroom": playroom, "check": check, "convert": convert, "things": things},
        arguments,
        description="Data sets: write them from the embedded world, check and convert them.",
    )


@dataclass(frozen=True, kw_only=True)
class Sop:
    """Stanford Online Products: pictures of single things, a retrieval set."""

    pictures_per_thing: int = 4
    """Pictures of each of the 849 things."""
    size: int = 128
    """Width and height of a picture, in pixels."""
    photos: Path | None = None
    """A folder of photographs to use as grounds; rendered grounds when left out."""


@dataclass(frozen=True, kw_only=True)
class Conversations:
    """LLaVA's JSON: questions about scenes of named things, captions, and two tests."""

    count: int = 5000
    """Pictures to learn from, each with several questions and their answers."""
    captions: int = 2000
    """Pictures with a sentence about each, to align a projector with."""
    per_kind: int = 100
    """Test questions of each of the nine kinds: in testA, and in each of testB's two rows."""
    size: int = 192
    """Pixels of a picture's shorter side."""
    single: int = 0
    """The first so many conversations are about one thing alone."""
    growing: int = 0
    """Over the next so many the most things of a scene grow from two to eight."""


@dataclass(frozen=True, kw_only=True)
class Refcoco:
    """RefCOCO, RefCOCO+, RefCOCOg and gRefCOCO: phrases with the masks of what they mean."""

    train: int = 2000
    """Pictures to learn from, which all four sets share."""
    val: int = 200
    """New pictures of the same kind."""
    test: int = 200
    """Pictures each of testA, new wordings in the style of training, and testB, a new style."""
    phrases: int = 4
    """Most phrases of one set about one picture."""
    size: int = 192
    """Pixels of a picture's shorter side."""


@dataclass(frozen=True, kw_only=True)
class Videos:
    """DAVIS: videos with true masks, and phrases as Ref-YouTube-VOS has them."""

    count: int = 20
    """Videos. In turns the thing moves, is hidden, is crossed by its twin, leaves and returns."""
    frames: int = 100
    """Frames of each."""
    rate: float = 10.0
    """Frames a second."""
    size: int = 192
    """Width and height of a frame, in pixels."""
    style: Literal["noto", "fluent"] = "noto"
    """Art style; language and masks were never trained on fluent."""
    masks: Literal["png", "runs"] = "png"
    """Pictures whose values number the things, or COCO's run lengths in JSON."""


Layout = (
    Annotated[Sop, subcommand("sop")]
    | Annotated[Conversations, subcommand("conversations")]
    | Annotated[Refcoco, subcommand("refcoco")]
    | Annotated[Videos, subcommand("videos")]
    | Annotated[OpenEqa, subcommand("openeqa")]
    | Annotated[RoboVqa, subcommand("robovqa")]
)


def playroom(
    layout: Layout,
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    seed: int = 0,
    json: bool = False,
) -> None:
    """Write pictures of the embedded world in the layout of a public data set.

    Args:
        output: Where the set is made.
        seed: The same seed gives the same pictures.
        json: Print one JSON document.
    """
    if isinstance(layout, Sop):
        _write_sop(layout, output, seed, json=json)
    elif isinstance(layout, Refcoco):
        _write_refcoco(layout, output, seed, json=json)
    elif isinstance(layout, Videos):
        _write_videos(layout, output, seed, json=json)
    elif isinstance(layout, OpenEqa):
        write_openeqa(layout, output, seed, json=json)
    elif isinstance(layout, RoboVqa):
        write_robovqa(layout, output, seed, json=json)
    else:
        _write_conversations(layout, output, seed, json=json)


def _write_sop(layout: Sop, output: Path, seed: int, *, json: bool) -> None:
    from mlcd.playroom.sop import FOLDER, write_sop

    with progress_bar("drawing") as advance:
        counts = write_sop(
            output,
            pictures_per_thing=layout.pictures_per_thing,
            size=layout.size,
            seed=seed,
            photos=layout.photos,
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


def _write_conversations(layout: Conversations, output: Path, seed: int, *, json: bool) -> None:
    from mlcd.core.answers import mean_over_kinds
    from mlcd.core.ordered import available_cores
    from mlcd.playroom.conversation_files import ConversationSet, write_conversations
    from mlcd.playroom.conversations import Curriculum

    with progress_bar("drawing") as advance:
        written = write_conversations(
            output,
            ConversationSet(
                count=layout.count,
                captions=layout.captions,
                per_kind=layout.per_kind,
                seed=seed,
                size=layout.size,
                curriculum=Curriculum(num_single=layout.single, num_growing=layout.growing),
            ),
            workers=available_cores(),
            on_picture=advance,
        )
    if json:
        print_json({"folder": str(output), **asdict(written)})
        return
    for name, pictures in written.pictures.items():
        print(f"{name}.json: {pictures:,} pictures")
    print("\nAnswers that look at no picture, right of each kind (of yes/no: of both of a pair):")
    for row, baselines in written.blind.items():
        print(f"\n{row:<36}" + "".join(f"{name:>10}" for name in baselines))
        for kind in next(iter(baselines.values())):
            print(f"  {kind:<34}" + "".join(f"{b[kind]:>10.3f}" for b in baselines.values()))
        means = (mean_over_kinds(accuracies) for accuracies in baselines.values())
        print(f"  {'mean':<34}" + "".join(f"{mean:>10.3f}" for mean in means))


def _write_refcoco(layout: Refcoco, output: Path, seed: int, *, json: bool) -> None:
    from mlcd.core.ordered import available_cores
    from mlcd.playroom.refcoco import RefcocoSizes, write_playroom_refcoco

    with progress_bar("drawing") as advance:
        counts = write_playroom_refcoco(
            output,
            RefcocoSizes(
                pictures={
                    "train": layout.train,
                    "val": layout.val,
                    "testA": layout.test,
                    "testB": layout.test,
                },
                most_phrases=layout.phrases,
                seed=seed,
                size=layout.size,
            ),
            workers=available_cores(),
            on_picture=advance,
        )
    if json:
        print_json({"folder": str(output), "counts": counts})
        return
    print(f"{'set':<10}{'split':<7}{'pictures':>10}{'refs':>8}{'phrases':>9}")
    for name, splits in counts.items():
        for split, count in splits.items():
            row = f"{count['images']:>10,}{count['refs']:>8,}{count['phrases']:>9,}"
            print(f"{name:<10}{split:<7}{row}")


def _write_videos(layout: Videos, output: Path, seed: int, *, json: bool) -> None:
    from mlcd.playroom.videos import VideoSet, write_videos

    videos = VideoSet(
        count=layout.count,
        seed=seed,
        style=layout.style,
        num_frames=layout.frames,
        frames_per_s=layout.rate,
        width=layout.size,
        height=layout.size,
        masks=layout.masks,
    )
    with progress_bar("filming") as advance:
        written = write_videos(output, videos, on_video=advance)
    if json:
        print_json({"folder": str(output), **asdict(written)})
        return
    print(f"{written.videos:,} videos, {written.frames:,} frames")
    if not written.has_films:
        note("frames alone, no mp4 files: for those run: pip install 'mlcd[video]'")


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
