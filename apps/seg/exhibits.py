"""What the report of phrases with masks shows beside its metrics: tables, a plot, overlays."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np

from mlcd.apps.seg.metrics import PRECISIONS, RULES, Output
from mlcd.apps.seg.overlay import draw_overlay
from mlcd.apps.seg.published import NEAREST, find_split
from mlcd.apps.seg.sample_table import read_rows, summarize
from mlcd.core.datasets.referring_set import Phrase
from mlcd.core.images import Image, read_image
from mlcd.core.results import Picture, Plot, Published, Table
from mlcd.core.results.sample_log import Sample
from mlcd.core.rle import decode_rle

PAPERS = "as printed in its paper or repository; protocols differ"
_PREFIX: Mapping[Output, str] = {"free": "", "forced": "forced "}
_GAP = 6  # white pixels between what was found and what is true


def published_table(name: str, model: str, metrics: Mapping[str, float]) -> Table | None:
    """The papers' cIoU on all splits and ours on this one; None for a set that has no such table.

    A set in the layout of a published one stands in its column under a name that says so.
    """
    split = find_split(name)
    if split is None:
        return None
    rows: list[list[str | None]] = []
    for output, prefix in _PREFIX.items():
        if f"{prefix}cIoU" in metrics:
            label = f"{model}, {output} (ours" + ("" if split.is_published else ", another set")
            row: list[str | None] = [f"{label})", *[None] * len(split.columns)]
            row[1 + split.place] = f"{100 * metrics[f'{prefix}cIoU']:.1f}"
            rows.append(row)
    for paper, values in split.rows.items():
        points = [None if value is None else f"{value:.1f}" for value in values]
        rows.append([f"{paper} (the paper's)", *points])
    other = (
        "" if split.is_published else " OURS IS OF ANOTHER SET IN THE SAME LAYOUT: not comparable."
    )
    return Table(
        title="cIoU beside published numbers, in points",
        columns=["model", *split.columns],
        rows=rows,
        note=f"The papers' numbers are theirs, {PAPERS}.{other}",
    )


def published_beside(name: str, metrics: Mapping[str, float]) -> list[Published]:
    """The nearest papers' cIoU beside our own metric, on the sets that they measured."""
    split = find_split(name)
    if split is None or not split.is_published:
        return []
    metric = "forced cIoU" if "forced cIoU" in metrics else "cIoU"
    found = []
    for paper in NEAREST:
        points = split.rows[paper][split.place] if paper in split.rows else None
        if points is not None:
            found.append(Published(metric=metric, value=points / 100, model=paper, source=PAPERS))
    return found


def row_table(samples: Sequence[Sample]) -> Table | None:
    """The metrics of each part of a set that it reports on its own; None when it has none."""
    names = sorted({str(sample.get("row", "")) for sample in samples})
    if names == [""]:
        return None
    parts = {
        name or "others": summarize([own for own in samples if own.get("row", "") == name])
        for name in names
    }
    wanted = ["cIoU", "gIoU", "N-acc", "T-acc", "forced cIoU", "forced gIoU"]
    shown = [metric for metric in wanted if any(metric in part for part in parts.values())]
    return Table(
        title="Parts of the set",
        columns=["part", *shown],
        rows=[[name, *(part.get(metric) for metric in shown)] for name, part in parts.items()],
    )


def rules_table(metrics: Mapping[str, float], output: Output) -> Table:
    """The same masks by the rules of each project."""
    rows: list[list[str | float | None]] = []
    for name, rules in RULES.items():
        ours, suffix = (_PREFIX[output], "") if name == "ours" else ("", f" ({name})")
        most = f"{rules.most_per_image} a picture by chance" if rules.most_per_image else "all"
        rows.append(
            [
                name,
                metrics[f"{ours}cIoU{suffix}"],
                metrics[f"{ours}gIoU{suffix}"],
                rules.mask_rule,
                rules.average,
                most,
                "480 x 480" if rules.is_squashed else "the picture's",
            ]
        )
    return Table(
        title=f"The {output} masks by each project's rules",
        columns=["rules", "cIoU", "gIoU", "overlaps", "gIoU is over each", "phrases", "size"],
        rows=rows,
        note="Overlaps of one thing's polygons: part of it (or), background (eq1), or in no class "
        "(lisa). Only how masks are compared is each project's: the model is asked in our way.",
    )


def precision_plot(metrics: Mapping[str, float]) -> Plot:
    """The share of phrases whose mask is at least so good."""
    lines: dict[str, list[tuple[float, float]]] = {
        output: [(least, metrics[f"{prefix}Pr@{least}"]) for least in PRECISIONS]
        for output, prefix in _PREFIX.items()
        if f"{prefix}Pr@{PRECISIONS[0]}" in metrics
    }
    return Plot(
        title="Phrases of something whose mask has at least this IoU",
        x_label="IoU",
        y_label="share of phrases",
        lines=lines,
        is_from_zero=True,
    )


def overlay_pictures(
    samples: Sequence[Sample], phrases: Sequence[Phrase], count: int, seed: int = 0
) -> list[Picture]:
    """The worst, the best and some by chance: what was found, and beside it what is true.

    Ties are broken by chance, so that of a thousand failures not the first few are shown.
    """
    of_id = {phrase.id: phrase for phrase in phrases}
    shuffled = sorted(samples, key=lambda sample: str(sample["id"]))
    random.Random(seed).shuffle(shuffled)
    by_score = sorted(shuffled, key=lambda sample: float(sample["score"]))
    chosen = {
        "Worst cases": by_score[:count],
        "Best cases": by_score[::-1][:count],
        "By chance": shuffled[:count],
    }
    return [
        Picture(
            image=draw_sample(sample, of_id[sample["id"]]),
            caption=_caption(sample),
            section=f"{section}: found (left), true (right)",
        )
        for section, some in chosen.items()
        for sample in some
    ]


def draw_sample(sample: Sample, phrase: Phrase) -> Image:
    """What was found in the picture, and beside it what is true: RGB uint8 (H, 2 W + gap, 3)."""
    picture = read_image(phrase.image.path)
    found = None if sample["mask"] is None else decode_rle(sample["mask"])
    gap = np.full((picture.shape[0], _GAP, 3), 255, dtype=np.uint8)
    sides = [draw_overlay(picture, found), gap, draw_overlay(picture, phrase.mask())]
    return np.concatenate(sides, axis=1)


def _caption(sample: Sample) -> str:
    (row,) = read_rows([sample])
    words = [f"“{sample['phrase']}”", f"score {sample['score']:.3f}"]
    if not row.has_target:
        words.append("nothing is there")
    if not row.says_seg:
        words.append("no mask by itself" + (", forced" if sample["mask"] is not None else ""))
    return ", ".join([*words, sample["id"]])
