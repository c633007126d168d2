"""`mlcd data check` and `mlcd data convert`: sets that lie on the disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg, subcommand

from mlcd.cli.output import note, print_json, progress_bar, shown

if TYPE_CHECKING:
    from mlcd.core.datasets.refcoco_check import CheckedSet

SetName = Literal["refcoco", "refcoco+", "refcocog", "grefcoco"]


@dataclass(frozen=True, kw_only=True)
class CheckRefcoco:
    """RefCOCO, RefCOCO+, RefCOCOg and gRefCOCO in their own layout."""

    root: Annotated[Path, Positional, arg(metavar="ROOT")]
    """The folder with refcoco, refcoco+, ... in it."""
    images: Path | None = None
    """The folder of pictures when it is not below that one."""


@dataclass(frozen=True, kw_only=True)
class CheckReferring:
    """Phrases of one's own as JSON lines: {"image": ..., "phrase": ..., "masks": [...]}."""

    path: Annotated[Path, Positional, arg(metavar="PATH")]
    """A .jsonl file, or a folder of them."""


Checked = (
    Annotated[CheckRefcoco, subcommand("refcoco")]
    | Annotated[CheckReferring, subcommand("referring")]
)


@dataclass(frozen=True, kw_only=True)
class ConvertRefcoco:
    """A set of RefCOCO's layout: a file for each of its splits."""

    root: Annotated[Path, Positional, arg(metavar="ROOT")]
    """The folder with refcoco, refcoco+, ... in it."""
    name: SetName = "refcoco"
    """Which of the sets."""
    by: str | None = None
    """Whose splits: unc, umd or google; those that results are printed for when left out."""
    images: Path | None = None
    """The folder of pictures when it is not below that one."""


@dataclass(frozen=True, kw_only=True)
class ConvertCoco:
    """COCO's instances: the name of a category means all of its kind in a picture."""

    instances: Annotated[Path, Positional, arg(metavar="INSTANCES.json")]
    """As COCO has them: images, annotations and categories."""
    images: Path
    """The folder of pictures."""


Converted = (
    Annotated[ConvertRefcoco, subcommand("refcoco")] | Annotated[ConvertCoco, subcommand("coco")]
)


def check(what: Checked, json: bool = False) -> int:
    """Say what of a set is there, what is missing and what is wrong; 1 when anything is wrong.

    Args:
        json: Print one JSON document.
    """
    if isinstance(what, CheckRefcoco):
        return _check_refcoco(what, json=json)
    return _check_referring(what, json=json)


def convert(
    what: Converted, output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")]
) -> None:
    """Write a set as JSON lines of pictures, phrases and masks, which training and eval read.

    Args:
        output: Where the files are made; the pictures stay where they are.
    """
    from mlcd.core.datasets.coco_phrases import read_coco_phrases
    from mlcd.core.datasets.phrase_list import write_phrase_list

    if isinstance(what, ConvertCoco):
        phrases = read_coco_phrases(what.instances, what.images).phrases
        written = {"train": write_phrase_list(phrases, output / "train.jsonl")}
    else:
        written = _convert_refcoco(what, output)
    for split, count in written.items():
        print(f"{split}.jsonl: {count:,} phrases")
    note(f"{shown(output)}; look through it with `mlcd data check referring {shown(output)}`")


def _convert_refcoco(what: ConvertRefcoco, output: Path) -> dict[str, int]:
    from mlcd.core.datasets.phrase_list import write_phrase_list
    from mlcd.core.datasets.refcoco import read_refcoco, split_refs
    from mlcd.core.datasets.refcoco_files import open_refcoco
    from mlcd.core.datasets.refcoco_layout import find_layout

    layout = find_layout(what.name, what.by)
    files = open_refcoco(what.root, layout)
    splits = [split for split in layout.splits if split_refs(files, split)]
    written: dict[str, int] = {}
    for split in splits:
        made = read_refcoco(what.root, what.name, split, by=what.by, images=what.images)
        written[split] = write_phrase_list(made.phrases, output / f"{split}.jsonl")
    return written


def _check_refcoco(what: CheckRefcoco, *, json: bool) -> int:
    from mlcd.core.datasets.refcoco_check import check_refcoco

    with progress_bar("looking through") as advance:
        found = check_refcoco(what.root, images=what.images, on_set=advance)
    is_right = any(one.is_there for one in found) and not any(_is_wrong(one) for one in found)
    if json:
        print_json({"is_right": is_right, "sets": [_set_json(one) for one in found]})
        return int(not is_right)
    for one in found:
        state = "wrong" if _is_wrong(one) else "right" if one.is_there else "not there"
        print(f"{f'{one.name} ({one.by})':<20}{state}")
        for split in one.splits:
            print(f"  {split.split:<8}{split.counts}")
        _print_lines(
            [f"missing: {name}" for name in one.missing] if _is_wrong(one) else [],
            one.problems,
            one.num_problems,
            one.notes,
        )
    if not any(one.is_there for one in found):
        note(f"{shown(what.root)}: none of the sets is there; missing: {found[0].missing[0]}, ...")
    return int(not is_right)


def _is_wrong(one: CheckedSet) -> bool:
    """A set with problems, or one of which the phrases are there and the masks are not."""
    is_half = one.missing == [f"{one.name}/instances.json"]
    return bool(one.num_problems) or is_half


def _set_json(one: CheckedSet) -> dict[str, Any]:
    return {
        "name": one.name,
        "by": one.by,
        "is_there": one.is_there,
        "is_right": one.is_right,
        "missing": one.missing,
        "splits": {
            split.split: {
                "counts": split.counts._asdict(),
                "published": split.published._asdict() if split.published else None,
            }
            for split in one.splits
        },
        "problems": one.problems,
        "num_problems": one.num_problems,
        "notes": one.notes,
    }


def _check_referring(what: CheckReferring, *, json: bool) -> int:
    from mlcd.core.datasets.phrase_list import check_phrase_lists

    found = check_phrase_lists(what.path)
    is_right = all(one.is_right for one in found)
    if json:
        files = [
            {
                "path": shown(one.path),
                "is_right": one.is_right,
                "phrases": one.num_phrases,
                "images": one.num_images,
                "absent": one.num_absent,
                "problems": one.problems,
                "num_problems": one.num_problems,
            }
            for one in found
        ]
        print_json({"is_right": is_right, "files": files})
        return int(not is_right)
    for one in found:
        print(
            f"{shown(one.path)}: {'right' if one.is_right else 'wrong'}; {one.num_phrases:,} "
            f"phrases about {one.num_images:,} pictures, {one.num_absent:,} mean nothing in theirs"
        )
        _print_lines([], one.problems, one.num_problems, [])
    return int(not is_right)


def _print_lines(
    missing: Sequence[str], problems: Sequence[str], num_problems: int, notes: Sequence[str]
) -> None:
    for line in (*missing, *problems):
        print(f"  wrong: {line}")
    if num_problems > len(problems):
        print(f"  wrong: {num_problems - len(problems):,} more")
    for line in notes:
        print(f"  note: {line}")
