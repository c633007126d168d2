"""The report on a clustering: sizes, inertia, what prototypes stand for, labels of pictures.

report.html   one self-contained page
*.png         its plots and pictures by themselves
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageDraw, ImageFont, ImageOps

from mlcd.core.files import atomic_path, write_text
from mlcd.core.images import Image, ImageError, read_image
from mlcd.core.pictures import PictureSource
from mlcd.core.results.exhibits import Picture, Plot, Table
from mlcd.core.results.page import (
    facts_html,
    figure_html,
    picture_html,
    render_page,
    section_html,
    table_html,
)
from mlcd.core.results.plot_pictures import draw_plot
from mlcd.core.results.plots import line_plot
from mlcd.training.clusters.assign import NO_LABEL
from mlcd.training.clusters.contents import ClusterContents, cluster_contents
from mlcd.training.clusters.label_reading import read_blocks
from mlcd.training.clusters.prototypes import load_card

_CLUSTERS, _PICTURES, _LABELS = 8, 6, 5  # shown: clusters, pictures, labels of each picture
_SIDE, _GAP, _CAPTION = 128, 6, 16  # pixels
_BINS = 30


def write_report(
    pictures: PictureSource, prototypes: Path, output: Path, labels_folder: Path | None = None
) -> Path:
    """Write `output`/report.html and its PNGs from labels and the folder of prototypes.

    ValueError when there are no prototypes or labels yet, or labels do not fit the pictures.
    """
    card = load_card(prototypes)
    num_clusters = int(card["prototypes"][0])
    contents = cluster_contents(read_blocks(pictures, labels_folder), num_clusters)
    plots = {
        "sizes": _size_plot(contents.nearest_sizes),
        "inertia": Plot(
            title="Inertia",
            x_label="iteration",
            y_label="mean squared distance",
            lines={"inertia": list(enumerate(card["inertia"], 1))},
        ),
    }
    clusters = _cluster_rows(pictures, contents)
    labelled = _labelled_rows(pictures, contents, labels_folder, seed=card["settings"]["seed"])
    sections = {"clusters": clusters, "labels": labelled}
    for name, plot in plots.items():
        _save(draw_plot(plot), output / f"{name}.png")
    for name, rows in sections.items():
        _save(_stacked([row.image for row in rows]), output / f"{name}.png")
    write_text(output / "report.html", _page(card, contents, plots.values(), clusters, labelled))
    return output / "report.html"


def _page(
    card: dict[str, Any],
    contents: ClusterContents,
    plots: Any,
    clusters: Sequence[Picture],
    labelled: Sequence[Picture],
) -> str:
    settings = card["settings"]
    figures = "".join(figure_html(plot.title, line_plot(plot)) for plot in plots)
    return render_page(
        f"{len(contents.nearest_sizes):,} clusters",
        [
            "<header><p class=eyebrow>clusters of pictures</p>"
            f"<h1>{len(contents.nearest_sizes):,} clusters of "
            f"{int(contents.num_labels.sum()):,} pictures</h1></header>",
            section_html(
                "Sizes", table_html(_sizes(contents)) + table_html(_label_counts(contents))
            ),
            section_html("Plots", f"<div class=plots>{figures}</div>"),
            _cards("Pictures nearest to some prototypes, from large clusters to small", clusters),
            _cards("Some pictures, and the nearest picture of each of their labels", labelled),
            section_html("Origin", facts_html({**card["features"], **settings})),
        ],
    )


def _cards(title: str, rows: Sequence[Picture]) -> str:
    cards = "".join(picture_html(row) for row in rows)
    return section_html(title, f"<div class=pictures>{cards}</div>")


def _sizes(contents: ClusterContents) -> Table:
    def row(name: str, sizes: NDArray[np.int64]) -> list[str | int | float]:
        return [
            name,
            int((sizes == 0).sum()),
            int(sizes.min()),
            float(np.median(sizes)),
            float(sizes.mean()),
            int(sizes.max()),
        ]

    return Table(
        title="Sizes",
        columns=["pictures of a cluster", "empty", "smallest", "median", "mean", "largest"],
        rows=[
            row("as the nearest", contents.nearest_sizes),
            row("among the labels", contents.label_sizes),
        ],
    )


def _label_counts(contents: ClusterContents) -> Table:
    return Table(
        title="Labels",
        columns=["labels of a picture", "pictures"],
        rows=[[number, int(count)] for number, count in enumerate(contents.num_labels) if count],
        note="With a threshold, the last row holds all that reached the most a picture may have.",
    )


def _size_plot(sizes: NDArray[np.int64]) -> Plot:
    """A histogram as the line around its bars."""
    width = int(sizes.max()) // _BINS + 1
    edges = np.arange(0, int(sizes.max()) + width + 1, width)
    counts, _ = np.histogram(sizes, bins=edges)
    around = [(float(edges[0]), 0.0)]
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        around += [(float(low), float(count)), (float(high), float(count))]
    around.append((float(edges[-1]), 0.0))
    return Plot(
        title="Sizes of the clusters",
        x_label="pictures whose nearest prototype it is",
        y_label="clusters",
        lines={"clusters": around},
    )


def _cluster_rows(pictures: PictureSource, contents: ClusterContents) -> list[Picture]:
    """The nearest pictures of clusters of all sizes."""
    by_size = np.argsort(-contents.nearest_sizes, kind="stable")
    filled = by_size[: int((contents.nearest_sizes > 0).sum())]
    places = np.unique(np.linspace(0, len(filled) - 1, _CLUSTERS).round().astype(int))
    rows = []
    for cluster in filled[places].tolist():
        tiles = [
            (_thumbnail(pictures, int(number)), f"{similarity:.3f}")
            for number, similarity in zip(
                contents.pictures[cluster], contents.similarities[cluster], strict=True
            )
            if number >= 0
        ]
        size = int(contents.nearest_sizes[cluster])
        rows.append(Picture(image=_row(tiles), caption=f"cluster {cluster}: {size:,} pictures"))
    return rows


def _labelled_rows(
    pictures: PictureSource, contents: ClusterContents, labels_folder: Path | None, *, seed: int
) -> list[Picture]:
    """Random pictures that have labels, each followed by what its labels stand for."""
    wanted = _wanted(pictures, labels_folder, seed)
    rows = []
    for number, labels, similarities in wanted:
        tiles = [(_thumbnail(pictures, number), "picture")]
        for label, similarity in zip(labels[:_LABELS], similarities, strict=False):
            others = contents.pictures[label]
            others = others[(others >= 0) & (others != number)]
            if len(others):
                tiles.append((_thumbnail(pictures, int(others[0])), f"{label}: {similarity:.3f}"))
        rows.append(Picture(image=_row(tiles), caption=pictures.name(number)))
    return rows


def _wanted(
    pictures: PictureSource, labels_folder: Path | None, seed: int
) -> list[tuple[int, list[int], list[float]]]:
    """Some random pictures with labels: number, labels, similarities."""
    random = np.random.default_rng(seed)
    numbers = random.choice(len(pictures), min(len(pictures), 4 * _PICTURES), replace=False)
    found = []
    for block in read_blocks(pictures, labels_folder):
        stop = block.start + len(block.labels)
        for number in numbers[(numbers >= block.start) & (numbers < stop)].tolist():
            labels = block.labels[number - block.start]
            is_label = labels != NO_LABEL
            if is_label.any():
                values = block.similarities[number - block.start][is_label]
                found.append((number, labels[is_label].tolist(), values.tolist()))
    return found[:_PICTURES]


def _thumbnail(pictures: PictureSource, number: int) -> PIL.Image.Image:
    try:
        image = PIL.Image.fromarray(read_image(pictures.read(number)))
    except ImageError:  # gone since it was labelled
        return PIL.Image.new("RGB", (_SIDE, _SIDE), "#e3e1da")
    return ImageOps.pad(image, (_SIDE, _SIDE), color="#ffffff")


def _row(tiles: Sequence[tuple[PIL.Image.Image, str]]) -> Image:
    """Pictures side by side, each with its words under it."""
    width = max(len(tiles), 3) * (_SIDE + _GAP) - _GAP  # wide enough to be shown as a panorama
    row = PIL.Image.new("RGB", (width, _SIDE + _CAPTION), "#ffffff")
    pen = ImageDraw.Draw(row)
    for place, (tile, words) in enumerate(tiles):
        left = place * (_SIDE + _GAP)
        row.paste(tile, (left, 0))
        middle = (left + _SIDE / 2, _SIDE + _CAPTION / 2)
        pen.text(middle, words, fill="#1d2126", font=ImageFont.load_default(12), anchor="mm")
    return np.asarray(row)


def _stacked(rows: Sequence[Image]) -> Image:
    width = max(row.shape[1] for row in rows)
    padded = [
        np.pad(row, ((0, _GAP), (0, width - row.shape[1]), (0, 0)), constant_values=255)
        for row in rows
    ]
    return np.concatenate(padded)


def _save(image: Image, file: Path) -> None:
    with atomic_path(file) as part:
        PIL.Image.fromarray(image).save(part, format="PNG")
