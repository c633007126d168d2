"""Metrics of referring segmentation, from a table of pixel counts, by each project's own rules.

Nothing here needs a model or a mask: a table that was saved is measured again in a moment.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from mlcd.apps.seg.counts import MaskCounts, MaskRule

Output = Literal["free", "forced"]
"""Whether the model may say that nothing is there, or a mask was asked of it in any case."""

PRECISIONS = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleRow:
    """One phrase about one picture, as measured."""

    sample: str
    """Names the phrase; no two rows share it."""
    image: str
    """Names the picture."""
    has_target: bool
    """Whether the phrase is of something that is there."""
    free: MaskCounts | None = None
    forced: MaskCounts | None = None
    says_seg: bool = True
    """Whether the model wrote [SEG] by itself."""
    free_squashed: MaskCounts | None = None
    """Squashed to 480 x 480, for LAVT's rules."""
    forced_squashed: MaskCounts | None = None

    def to_dict(self) -> dict[str, Any]:
        """A line of the table, as plain JSON values."""
        line: dict[str, Any] = {
            "sample": self.sample,
            "image": self.image,
            "has_target": self.has_target,
            "says_seg": self.says_seg,
        }
        for name in _COUNTS:
            if (counts := getattr(self, name)) is not None:
                line[name] = counts.to_dict()
        return line

    @classmethod
    def from_dict(cls, line: Mapping[str, Any]) -> SampleRow:
        """The row that `to_dict` gave; other keys of the line are left alone."""
        try:
            counts: dict[str, Any] = {
                name: MaskCounts.from_dict(line[name])
                for name in _COUNTS
                if line.get(name) is not None
            }
            names = ("sample", "image", "has_target", "says_seg")
            return cls(**{name: line[name] for name in names}, **counts)
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"no line of a table of masks ({error}): {str(dict(line))[:80]}"
            ) from error


_COUNTS = ("free", "forced", "free_squashed", "forced_squashed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """How a project makes numbers of masks."""

    name: str
    mask_rule: MaskRule = "or"
    average: Literal["phrase", "image"] = "phrase"
    """gIoU: the mean over phrases, or over pictures of the mean over their phrases."""
    empty_iou: float = 1.0
    """The IoU where neither mask has a pixel."""
    epsilon: float = 0.0
    """Added to the union of one sample."""
    total_epsilon: float = 0.0
    """Added to the sum of unions."""
    most_per_image: int | None = None
    """Phrases of a picture that are looked at, chosen by chance (here with a seed)."""
    is_squashed: bool = False
    """Whether masks are compared at 480 x 480, not in the picture's size."""


OURS = Rules(name="ours")
LISA = Rules(name="lisa", mask_rule="lisa", epsilon=1e-5, total_epsilon=1e-10)
GLAMM = Rules(name="glamm", mask_rule="lisa", epsilon=1e-5, total_epsilon=1e-10, most_per_image=3)
LAVT = Rules(name="lavt", mask_rule="eq1", empty_iou=0.0, is_squashed=True)
MLCD_SEG = Rules(name="mlcd-seg", average="image", epsilon=1e-5, total_epsilon=1e-10)

RULES: Mapping[str, Rules] = {rules.name: rules for rules in (OURS, LISA, GLAMM, LAVT, MLCD_SEG)}


def summarize(
    rows: Iterable[SampleRow],
    rules: Rules = OURS,
    *,
    output: Output = "free",
    least_pixels: int = 1,
    seed: int = 0,
) -> dict[str, float]:
    """cIoU, gIoU, Pr@0.5 ... 0.9 and the [SEG] rate of a table, as shares of 1.

    With phrases whose object is not there also N-acc and T-acc (gRefCOCO); Pr@X is over the
    others, as ReLA has it. A prediction of fewer than `least_pixels` says that nothing is there
    (GRES: 50, for models that cannot say so). `seed` is for rules that choose phrases by chance.

    ValueError for an empty table, for two rows of one sample, and where the table lacks what the
    rules look at.
    """
    table = list(rows)
    if not table:
        raise ValueError("an empty table has no metrics")
    if len({row.sample for row in table}) != len(table):
        raise ValueError("a sample stands in the table twice: it would count twice")
    if rules.most_per_image is not None:
        table = _chosen(table, rules.most_per_image, seed)
    counts = [_counts(row, rules, output) for row in table]
    ious = [sample_iou(own, rules) for own in counts]
    shared = sum(own.intersection(rules.mask_rule) for own in counts)
    united = sum(own.union(rules.mask_rule) for own in counts) + rules.total_epsilon
    numbers = {
        "cIoU": shared / united if united else rules.empty_iou,
        "gIoU": _mean(table, ious, rules),
    }
    targeted = [iou for row, iou in zip(table, ious, strict=True) if row.has_target]
    if targeted:
        for least in PRECISIONS:
            numbers[f"Pr@{least}"] = fmean(iou >= least for iou in targeted)
    numbers["[SEG] rate"] = fmean(row.says_seg for row in table)
    says_there = [own.predicted >= least_pixels for own in counts]
    return numbers | _presence(table, says_there)


def sample_iou(counts: MaskCounts, rules: Rules = OURS) -> float:
    """The IoU of one sample under a project's rules."""
    united = counts.union(rules.mask_rule)
    if united == 0:
        return rules.empty_iou
    return counts.intersection(rules.mask_rule) / (united + rules.epsilon)


def _presence(table: Sequence[SampleRow], says_there: Sequence[bool]) -> dict[str, float]:
    """Shares of right answers where nothing is there, and where something is."""
    absent = [not said for row, said in zip(table, says_there, strict=True) if not row.has_target]
    present = [said for row, said in zip(table, says_there, strict=True) if row.has_target]
    if not absent:
        return {}
    accuracies = {"N-acc": fmean(absent)}
    return accuracies | ({"T-acc": fmean(present)} if present else {})


def _mean(table: Sequence[SampleRow], ious: Sequence[float], rules: Rules) -> float:
    if rules.average == "phrase":
        return fmean(ious)
    of_image: defaultdict[str, list[float]] = defaultdict(list)
    for row, iou in zip(table, ious, strict=True):
        of_image[row.image].append(iou)
    return fmean(fmean(own) for own in of_image.values())


def _counts(row: SampleRow, rules: Rules, output: Output) -> MaskCounts:
    name = f"{output}_squashed" if rules.is_squashed else output
    counts: MaskCounts | None = getattr(row, name)
    if counts is None:
        raise ValueError(
            f"sample {row.sample!r} has no counts {name!r}, which the rules of {rules.name} look "
            "at: measure it again with them"
        )
    return counts


def _chosen(table: Sequence[SampleRow], most: int, seed: int) -> list[SampleRow]:
    """At most so many phrases of each picture, the same for the same seed."""
    of_image: defaultdict[str, list[SampleRow]] = defaultdict(list)
    for row in table:
        of_image[row.image].append(row)
    chosen = []
    for image, rows in of_image.items():
        generator = random.Random(f"{seed} {image}")  # text: the same in every process
        rows.sort(key=lambda row: row.sample)  # whatever the order in which they were measured
        chosen += generator.sample(rows, most) if len(rows) > most else rows
    return chosen
