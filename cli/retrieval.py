"""`mlcd retrieval`: picture search and its evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg, subcommand

from mlcd.cli.output import note, print_json, print_result, progress_bar, shown
from mlcd.cli.verbs import run_verb

if TYPE_CHECKING:
    from mlcd.apps.retrieval import AddReport, Gallery

DEFAULT_TOWER = "things-tiny"
MOST_LISTED = 50  # unreadable pictures named on the terminal; --json names all

IndexKind = Literal["exact", "flat", "hnsw", "ivfpq"]
GalleryFolder = Annotated[Path, Positional, arg(metavar="GALLERY")]
Pictures = Annotated[tuple[Path, ...], Positional, arg(metavar="PICTURES")]
Output = Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")]


def main(arguments: Sequence[str]) -> int | None:
    """Parse the arguments of `mlcd retrieval` and run the verb."""
    return run_verb(
        "retrieval",
        {
            "index": index,
            "add": add,
            "remove": remove,
            "rebuild": rebuild,
            "search": search,
            "duplicates": duplicates,
            "check": check,
            "eval": evaluate,
        },
        arguments,
        description="Picture search: a gallery on disk that finds the pictures most like one.",
    )


def index(
    pictures: Pictures,
    output: Output,
    tower: str | None = None,
    index: IndexKind = "exact",
    int8: bool = False,
    batch_size: int = 32,
    json: bool = False,
) -> None:
    """Make a gallery of pictures, or go on with one that was interrupted or has fallen behind.

    Args:
        pictures: Folders, searched through and through, or single pictures.
        output: The gallery's folder.
        tower: Embedded name, model folder, .pt file or hub id; things-tiny when left out.
        index: exact needs no FAISS; hnsw and ivfpq are approximate and print their recall.
        int8: Embed in 8-bit whole numbers, here and in searches: faster, a little less exact.
        batch_size: Pictures through the tower at once.
        json: Print one JSON document.
    """
    from mlcd.apps.retrieval import Gallery
    from mlcd.apps.retrieval.identity import is_int8_state
    from mlcd.apps.retrieval.intake import expand

    paths = expand(_some(pictures))  # before a gallery is made of nothing
    is_new = not is_gallery(output)
    if not is_new:
        gallery = Gallery.open(output, tower=tower)
        if int8 and not is_int8_state(gallery.state):
            raise ValueError(
                f"{output} was made without --int8, and its embeddings do not mix with others; "
                "leave --int8 out, or index the pictures into a new gallery"
            )
        if gallery.state.index_kind != index and index != "exact":
            raise ValueError(
                f"{output} has an {gallery.state.index_kind} index; to change it, run "
                f"`mlcd retrieval rebuild {output} --index {index}`"
            )
    else:
        gallery = Gallery.create(output, tower or DEFAULT_TOWER, index=index, int8=int8)
    _add(gallery, paths, batch_size=batch_size, json=json)
    if is_new and not len(gallery):
        gallery.discard()
        raise ValueError(f"none of the pictures could be read, so {output} was not made")


def add(
    gallery: GalleryFolder,
    pictures: Pictures,
    tower: str | None = None,
    batch_size: int = 32,
    json: bool = False,
) -> None:
    """Add pictures to a gallery; unchanged ones are skipped, changed ones embedded anew.

    Args:
        gallery: The gallery's folder.
        pictures: Folders, searched through and through, or single pictures.
        tower: Where the gallery's tower is now, when it was moved.
        batch_size: Pictures through the tower at once.
        json: Print one JSON document.
    """
    from mlcd.apps.retrieval import Gallery

    opened = Gallery.open(gallery, tower=tower)
    _add(opened, list(_some(pictures)), batch_size=batch_size, json=json)


def remove(
    gallery: GalleryFolder, pictures: Pictures = (), missing: bool = False, json: bool = False
) -> None:
    """Remove pictures from a gallery; their files stay where they are.

    Args:
        gallery: The gallery's folder.
        pictures: Pictures of the gallery, or folders with such.
        missing: Those whose files are no longer there.
        json: Print one JSON document.
    """
    from mlcd.apps.retrieval import Gallery

    opened = Gallery.open(gallery)
    asked = [*pictures, *opened.missing()] if missing else _some(pictures)
    removed = opened.remove(asked) if asked else 0
    if json:
        print_json({"gallery": str(gallery), "removed": removed, "pictures": len(opened)})
    else:
        print(f"{removed:,} removed; {len(opened):,} pictures in {shown(gallery)}")


def rebuild(gallery: GalleryFolder, index: IndexKind | None = None) -> None:
    """Give back the space of removed pictures and build the index anew, or another kind.

    Args:
        gallery: The gallery's folder.
        index: Another kind of index; the same one when left out.
    """
    from mlcd.apps.retrieval import Gallery

    opened = Gallery.open(gallery)
    opened.rebuild(index=index)
    print(f"{len(opened):,} pictures in {shown(gallery)}, {opened.state.index_kind} index")
    _note_recall(opened)


def search(
    gallery: GalleryFolder,
    pictures: Annotated[tuple[Path, ...], Positional, arg(metavar="PICTURE")],
    k: Annotated[int, arg(aliases=["-k"])] = 10,
    region: str | None = None,
    sheet: Path | None = None,
    tower: str | None = None,
    json: bool = False,
) -> None:
    """Find the pictures of a gallery that are most like a picture, or like a part of it.

    Args:
        gallery: The gallery's folder.
        pictures: One or more pictures to search with.
        k: How many hits.
        region: Only this part of the picture: x0,y0,x1,y1 in pixels.
        sheet: Also draw query and hits into this PNG file.
        tower: Where the gallery's tower is now, when it was moved.
        json: Print one JSON document: {"query": ..., "hits": [{"path": ..., "score": ...}]}, or a
            list of such for several pictures.
    """
    from mlcd.apps.retrieval import Gallery
    from mlcd.apps.retrieval.region import crop_region
    from mlcd.apps.retrieval.sheet import answer, write_sheet
    from mlcd.core.images import read_image

    box = None if region is None else parse_region(region)
    images = [read_image(path) for path in _some(pictures)]
    parts = images if box is None else [crop_region(image, box) for image in images]
    opened = Gallery.open(gallery, tower=tower)
    found = opened.search_many(parts, k)
    if json:
        documents = [
            {
                "query": str(path),
                "hits": [{"path": str(hit.path), "score": hit.score} for hit in hits],
            }
            for path, hits in zip(pictures, found, strict=True)
        ]
        print_json(documents[0] if len(documents) == 1 else documents)
    else:
        for path, hits in zip(pictures, found, strict=True):
            print(shown(path))
            for hit in hits:
                print(f"  {hit.score:.4f}  {shown(hit.path)}")
    if sheet is not None:
        answers = [
            answer(path.name, image, hits, box)
            for path, image, hits in zip(pictures, images, found, strict=True)
        ]
        write_sheet(sheet, answers)
        note(f"contact sheet: {shown(sheet)}")


def duplicates(gallery: GalleryFolder, threshold: float = 0.95, json: bool = False) -> None:
    """List groups of pictures of a gallery that are nearly the same.

    Args:
        gallery: The gallery's folder.
        threshold: Cosine from which two pictures belong together.
        json: Print one JSON document: {"threshold": ..., "groups": [[path, ...], ...]}.
    """
    from mlcd.apps.retrieval import Gallery

    groups = Gallery.open(gallery).near_duplicates(threshold)
    if json:
        print_json(
            {"threshold": threshold, "groups": [[str(p) for p in group] for group in groups]}
        )
        return
    for number, group in enumerate(groups, start=1):
        print(f"group {number}")
        for path in group:
            print(f"  {shown(path)}")
    note(f"{len(groups):,} groups at a cosine of {threshold:g} or more")


def check(gallery: GalleryFolder, json: bool = False) -> int:
    """Say in words what a gallery is and what is wrong with it; exit code 1 when something is.

    Args:
        gallery: The gallery's folder.
        json: Print one JSON document.
    """
    from mlcd.apps.retrieval.check import check_gallery

    found = check_gallery(gallery)
    if json:
        print_json(
            {
                "gallery": str(gallery),
                "summary": found.summary,
                "problems": list(found.problems),
                "notes": list(found.notes),
            }
        )
    else:
        print(shown(found.summary))
        for line in found.problems:
            print(f"  wrong: {shown(line)}")
        for line in found.notes:
            print(f"  note: {shown(line)}")
        if not found.problems:
            print("  sound: every vector belongs to its picture")
    return 1 if found.problems else 0


@dataclass(frozen=True, kw_only=True)
class Sop:
    """Stanford Online Products, or a set in its layout: every picture against all others."""

    root: Path
    """Stanford_Online_Products, or the folder that it lies in."""
    split: Literal["train", "test"] = "test"


@dataclass(frozen=True, kw_only=True)
class Things:
    """The embedded measure: things drawn in one style find themselves in another."""

    ground: Literal["white", "rendered"] | Path = "white"
    """What the things lie on: white, a rendered pattern, or a folder of photographs."""
    size: int = 128
    """Pixels a side of the drawn pictures."""
    seed: int = 0


def evaluate(
    set: Annotated[Sop, subcommand("sop")] | Annotated[Things, subcommand("things")],  # noqa: A002
    output: Output,
    tower: str = DEFAULT_TOWER,
    batch_size: int = 32,
    json: bool = False,
) -> None:
    """Measure a tower on a labelled set; started again in the same folder, it goes on.

    Args:
        output: The folder of the result: result.json, samples.jsonl, report.html.
        tower: Embedded name, model folder, .pt file or hub id.
        batch_size: Pictures through the tower at once.
        json: Print one JSON document.
    """
    from mlcd.apps.retrieval.protocols import evaluate as run
    from mlcd.core.datasets.sop import read_sop
    from mlcd.core.towers import load_tower

    if isinstance(set, Sop):
        retrieval_set = read_sop(set.root, set.split)
    else:
        from mlcd.playroom.things_protocol import things_retrieval_set

        retrieval_set = things_retrieval_set(ground=set.ground, size=set.size, seed=set.seed)
    with progress_bar("embedding") as progress:
        result = run(
            retrieval_set, load_tower(tower), output, batch_size=batch_size, progress=progress
        )
    print_result(result, json=json)


def parse_region(text: str) -> tuple[float, float, float, float]:
    """`x0,y0,x1,y1`. ValueError on anything else."""
    try:
        x0, y0, x1, y1 = map(float, text.split(","))
    except ValueError:
        raise ValueError(f"--region: expected x0,y0,x1,y1 in pixels, got {text!r}") from None
    return x0, y0, x1, y1


def is_gallery(folder: Path) -> bool:
    """Whether there is something of a gallery in `folder`, sound or not."""
    from mlcd.apps.retrieval.store import METADATA

    return (folder / METADATA).exists()


def _some(pictures: Sequence[Path]) -> Sequence[Path]:
    if not pictures:
        raise ValueError("expected at least one picture or folder of pictures, got none")
    return pictures


def _add(gallery: Gallery, pictures: Sequence[Path], *, batch_size: int, json: bool) -> None:
    with progress_bar("pictures") as progress:
        report = gallery.add(pictures, batch_size=batch_size, progress=progress)
    if json:
        print_json(_added(gallery, report))
    else:
        print(
            f"{report.added:,} added, {report.changed:,} changed, {report.unchanged:,} unchanged, "
            f"{len(report.failures):,} unreadable; "
            f"{len(gallery):,} pictures in {shown(gallery.folder)}"
        )
    for failure in report.failures[:MOST_LISTED]:
        note(f"unreadable: {shown(failure.reason)}")
    if (more := len(report.failures) - MOST_LISTED) > 0:
        note(f"unreadable: and {more:,} more, all of which --json lists")
    _note_recall(gallery)


def _added(gallery: Gallery, report: AddReport) -> dict[str, Any]:
    return {
        "gallery": str(gallery.folder),
        "added": report.added,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "unreadable": [{"path": str(f.path), "reason": f.reason} for f in report.failures],
        "pictures": len(gallery),
        "recall": gallery.state.index_recall,
    }


def _note_recall(gallery: Gallery) -> None:
    state = gallery.state
    if state.index_recall is not None:
        note(f"recall@10 of the {state.index_kind} index against exact: {state.index_recall:.3f}")
