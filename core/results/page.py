"""The pieces of a self-contained page: sections, tables, figures, pictures, and the page around."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from PIL import Image as PillowImage

from mlcd.core.results.exhibits import Cell, Picture, Plot, Table
from mlcd.core.results.plots import NUM_COLORS, number_text

# A report with a dozen pictures stays small enough to be sent by mail.
PICTURE_SIZE = 480
PANORAMA_SIZE = 960  # of pictures more than twice as wide as high: rows of hits


def render_page(title: str, body: Sequence[str]) -> str:
    """The HTML of a page around the pieces of its body. Nothing is loaded from elsewhere."""
    style = files("mlcd.core.results").joinpath("report.css").read_text(encoding="utf-8")
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )
    return page.encode(errors="backslashreplace").decode()  # file names need not be valid text


def section_html(title: str, content: str) -> str:
    """A heading and what stands under it."""
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def table_html(table: Table) -> str:
    """A table with its note."""
    is_number = [
        all(isinstance(row[column], int | float | None) for row in table.rows)
        for column in range(len(table.columns))
    ]

    def cells(tag: str, texts: Iterable[str]) -> str:
        return "".join(
            f"<{tag}{' class=number' if right else ''}>{escape(text)}</{tag}>"
            for text, right in zip(texts, is_number, strict=True)
        )

    rows = "".join(f"<tr>{cells('td', map(_cell_text, row))}</tr>" for row in table.rows)
    note = f"<p class=note>{escape(table.note)}</p>" if table.note else ""
    return (
        f"<div class=wide><table><thead><tr>{cells('th', table.columns)}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>{note}"
    )


def _cell_text(cell: Cell) -> str:
    if cell is None:
        return "–"
    return cell if isinstance(cell, str) else number_text(cell)


def figure_html(title: str, drawing: str, legend: str = "") -> str:
    """A drawing (SVG) under its title."""
    return f"<figure><figcaption>{escape(title)}</figcaption>{drawing}{legend}</figure>"


def legend_html(plot: Plot) -> str:
    """The names of a plot's lines; nothing for a single one."""
    if len(plot.lines) < 2:
        return ""
    names = "".join(
        f'<li><span class="c{number % NUM_COLORS}"></span>{escape(name)}</li>'
        for number, name in enumerate(plot.lines)
    )
    return f"<ul class=legend>{names}</ul>"


def picture_html(picture: Picture) -> str:
    """A picture inside the page, with its words."""
    image = PillowImage.fromarray(picture.image)
    is_panorama = image.width > 2 * image.height
    image.thumbnail((PANORAMA_SIZE if is_panorama else PICTURE_SIZE, PICTURE_SIZE))
    data = io.BytesIO()
    image.save(data, format="JPEG", quality=85)
    source = "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
    caption = escape(picture.caption)
    return (
        f"<figure{' class=panorama' if is_panorama else ''}>"
        f'<img src="{source}" width="{image.width}" height="{image.height}" '
        f'alt="{caption}"><figcaption>{caption}</figcaption></figure>'
    )


def facts_html(facts: Mapping[str, Any]) -> str:
    """Names and values; empty ones are left out."""
    pairs = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>"
        for name, value in facts.items()
        if value is not None and value != ""
    )
    return f"<dl>{pairs}</dl>"
