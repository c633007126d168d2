"""RefCOCO, RefCOCO+, RefCOCOg and gRefCOCO: which files and splits there are, and how large.

refcoco/   refs(unc).p   refs(google).p   instances.json
refcoco+/  refs(unc).p                    instances.json
refcocog/  refs(umd).p   refs(google).p   instances.json
grefcoco/  grefs(unc).json                instances.json
images/mscoco/images/train2014/           pictures (or images/train2014/)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

IMAGE_FOLDERS = ("images/mscoco/images/train2014", "images/train2014", "train2014")
COCO_PREFIX = "COCO_train2014_"
"""How the names of the published pictures begin."""


class Counts(NamedTuple):
    """How much a split holds; None where it was not published."""

    refs: int | None = None
    images: int | None = None
    phrases: int | None = None

    def __str__(self) -> str:
        return ", ".join(
            f"{number:,} {what}"
            for number, what in zip(self, self._fields, strict=True)
            if number is not None
        )

    def agrees_with(self, published: Counts) -> bool:
        """Whether every count that was published is this one."""
        return all(there in (None, own) for own, there in zip(self, published, strict=True))


@dataclass(frozen=True, slots=True)
class Layout:
    """One set, divided into splits by somebody."""

    name: str
    by: str
    """Who made the splits."""
    splits: Mapping[str, Counts]

    @property
    def refs_file(self) -> str:
        """The file of phrases, below the root."""
        if self.name == "grefcoco":
            return f"{self.name}/grefs({self.by}).json"
        return f"{self.name}/refs({self.by}).p"


LAYOUTS = (
    Layout(
        "refcoco",
        "unc",
        {
            "train": Counts(42_404, 16_994, 120_624),
            "val": Counts(3_811, 1_500, 10_834),
            "testA": Counts(1_975, 750, 5_657),
            "testB": Counts(1_810, 750, 5_095),
        },
    ),
    Layout(
        "refcoco",
        "google",
        {
            "train": Counts(40_000, 19_213),
            "val": Counts(5_000, 4_559),
            "test": Counts(5_000, 4_527),
        },
    ),
    Layout(
        "refcoco+",
        "unc",
        {
            "train": Counts(42_278, 16_992, 120_191),
            "val": Counts(3_805, 1_500, 10_758),
            "testA": Counts(1_975, 750, 5_726),
            "testB": Counts(1_798, 750, 4_889),
        },
    ),
    Layout(
        "refcocog",
        "umd",
        {
            "train": Counts(42_226, 21_899, 80_512),
            "val": Counts(2_573, 1_300, 4_896),
            "test": Counts(5_023, 2_600, 9_602),
        },
    ),
    Layout(
        "refcocog",
        "google",
        {"train": Counts(44_822, 24_698, 85_474), "val": Counts(5_000, 4_650, 9_536)},
    ),
    Layout(
        "grefcoco",
        "unc",
        {
            "train": Counts(),
            "val": Counts(images=1_500),
            "testA": Counts(images=750),
            "testB": Counts(images=750),
        },
    ),
)
"""Counts: Yu et al. and TFDS for refs and pictures, the papers for phrases, GSVA for gRefCOCO."""


def find_layout(name: str, by: str | None = None) -> Layout:
    """The set of that name; without `by` in the splits that results are printed for.

    ValueError when there is none.
    """
    named = [layout for layout in LAYOUTS if layout.name == name]
    if not named:
        names = ", ".join(dict.fromkeys(layout.name for layout in LAYOUTS))
        raise ValueError(f"{name!r} is no set of phrases: expected one of {names}")
    for layout in named:
        if by in (None, layout.by):
            return layout
    raise ValueError(
        f"{name} has no splits by {by!r}: expected {' or '.join(layout.by for layout in named)}"
    )


def is_in_split(layout: Layout, own: str, split: str) -> bool:
    """Whether a ref whose split is written as `own` belongs to `split`, as the refer API has it.

    "testAB" is in testA and in testB; every test is in "test". gRefCOCO's API takes names as they
    are.
    """
    if layout.name != "grefcoco" and split.startswith("test"):
        return "test" in own and (split == "test" or split[-1] in own)
    return own == split
