"""The contact sheet: every query and what it found, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import PIL.Image
from PIL import ImageDraw, ImageOps

from mlcd.apps.retrieval.captions import draw_caption
from mlcd.apps.retrieval.gallery import Hit
from mlcd.apps.retrieval.region import Region
from mlcd.core.files import atomic_path
from mlcd.core.images import ImageError, ImageSource, read_image

SIDE, CAPTION, GAP = 160, 34, 8  # pixels: of a tile, its text, between tiles
COLUMNS = 6  # tiles in a row
INK, PAPER, FAINT, MARK = "#1a1a1a", "#ffffff", "#e4e4e4", "#d0342c"


@dataclass(frozen=True, slots=True)
class Tile:
    """A picture with two lines of text."""

    source: ImageSource
    title: str
    name: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One query with what it found; `region` is drawn on the query."""

    query: Tile
    hits: Sequence[Tile]
    region: Region | None = None


def answer(
    name: str, query: ImageSource, hits: Sequence[Hit], region: Region | None = None
) -> Answer:
    """A query with its hits as a sheet shows them: scores, and names without folders."""
    tiles = [Tile(hit.path, f"{hit.score:.3f}", hit.path.name) for hit in hits]
    return Answer(Tile(query, "query", name), tiles, region)


def draw_sheet(answers: Sequence[Answer]) -> PIL.Image.Image:
    """Query first, framed, then its hits; each query begins a new row."""
    rows: list[list[PIL.Image.Image]] = []
    for each in answers:
        tiles = [_query_tile(each), *map(_hit_tile, each.hits)]
        rows += [tiles[start : start + COLUMNS] for start in range(0, len(tiles), COLUMNS)]
    if not rows:
        raise ValueError("a sheet needs at least one query")
    width = max(map(len, rows)) * (SIDE + GAP) + GAP
    sheet = PIL.Image.new("RGB", (width, len(rows) * (SIDE + CAPTION + GAP) + GAP), PAPER)
    for line, tiles in enumerate(rows):
        for column, tile in enumerate(tiles):
            corner = GAP + column * (SIDE + GAP), GAP + line * (SIDE + CAPTION + GAP)
            sheet.paste(tile, corner)
    return sheet


def write_sheet(path: str | Path, answers: Sequence[Answer]) -> None:
    """`draw_sheet` as a PNG file, whole or not at all."""
    sheet = draw_sheet(answers)
    with atomic_path(path) as part:
        sheet.save(part, format="PNG")


def _query_tile(each: Answer) -> PIL.Image.Image:
    picture = PIL.Image.fromarray(read_image(each.query.source))
    if each.region is not None:
        line = max(2, round(max(picture.size) / SIDE * 2))  # two pixels wide on the sheet
        ImageDraw.Draw(picture).rectangle(each.region, outline=MARK, width=line)
    tile = _tile(picture, each.query)
    ImageDraw.Draw(tile).rectangle((0, 0, SIDE - 1, SIDE - 1), outline=MARK, width=3)
    return tile


def _hit_tile(hit: Tile) -> PIL.Image.Image:
    try:
        picture = PIL.Image.fromarray(read_image(hit.source))
    except ImageError:  # deleted or damaged since it was indexed: its place says so
        picture = PIL.Image.new("RGB", (SIDE, SIDE), FAINT)
        corner = 12, SIDE // 2 - 8
        draw_caption(
            ImageDraw.Draw(picture), corner, "cannot be read now", width=SIDE - 24, ink=INK
        )
    return _tile(picture, hit)


def _tile(picture: PIL.Image.Image, texts: Tile) -> PIL.Image.Image:
    """The picture, whole, on a square, with two lines of text below."""
    tile = PIL.Image.new("RGB", (SIDE, SIDE + CAPTION), PAPER)
    tile.paste(ImageOps.pad(picture, (SIDE, SIDE), color=FAINT))
    draw = ImageDraw.Draw(tile)
    for line, text in enumerate((texts.title, texts.name)):
        draw_caption(draw, (2, SIDE + 2 + line * 15), text, width=SIDE - 4, ink=INK)
    return tile
