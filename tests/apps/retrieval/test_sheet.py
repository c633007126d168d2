"""The contact sheet shows the query first, then what it found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from mlcd.apps.retrieval import Hit
from mlcd.apps.retrieval.sheet import (
    CAPTION,
    COLUMNS,
    GAP,
    MARK,
    SIDE,
    answer,
    draw_sheet,
    write_sheet,
)

Draw = Callable[[Path, int], Path]


def tile(sheet: PIL.Image.Image, row: int, column: int) -> np.ndarray:
    left, top = GAP + column * (SIDE + GAP), GAP + row * (SIDE + CAPTION + GAP)
    return np.asarray(sheet.crop((left, top, left + SIDE, top + SIDE)))


def plain(path: Path, colour: tuple[int, int, int]) -> Path:
    PIL.Image.new("RGB", (30, 30), colour).save(path)
    return path


def test_the_query_stands_first_in_a_frame_and_the_hits_follow(tmp_path: Path) -> None:
    query = plain(tmp_path / "query.png", (200, 0, 0))
    hits = [
        Hit(plain(tmp_path / "a.png", (0, 200, 0)), 0.9),
        Hit(plain(tmp_path / "b.png", (0, 0, 200)), 0.5),
    ]
    sheet = draw_sheet([answer("query.png", query, hits)])
    centres = [tile(sheet, 0, column)[SIDE // 2, SIDE // 2].tolist() for column in range(3)]
    assert centres == [[200, 0, 0], [0, 200, 0], [0, 0, 200]]
    frame = PIL.Image.new("RGB", (1, 1), MARK).getpixel((0, 0))
    assert tuple(tile(sheet, 0, 0)[0, 0]) == frame
    assert tuple(tile(sheet, 0, 1)[0, 0]) != frame


def test_long_rows_go_on_below_and_each_query_begins_anew(tmp_path: Path, picture: Draw) -> None:
    path = picture(tmp_path / "p.png", 0)
    answers = [answer("p", path, [Hit(path, 1.0)] * COLUMNS), answer("q", path, [])]
    sheet = draw_sheet(answers)
    assert sheet.size == (COLUMNS * (SIDE + GAP) + GAP, 3 * (SIDE + CAPTION + GAP) + GAP)


def test_a_hit_whose_file_is_gone_says_so_in_its_place(tmp_path: Path, picture: Draw) -> None:
    path = picture(tmp_path / "p.png", 0)
    sheet = draw_sheet([answer("p", path, [Hit(tmp_path / "gone.png", 0.7)])])
    assert len(np.unique(tile(sheet, 0, 1))) > 1  # words on grey


def test_the_region_is_drawn_on_the_query_and_a_long_name_fits(tmp_path: Path) -> None:
    query = plain(tmp_path / "query.png", (255, 255, 255))
    plain_sheet = draw_sheet([answer("q" * 300, query, [])])
    marked = draw_sheet([answer("q" * 300, query, [], region=(5, 5, 20, 20))])
    assert plain_sheet.size == marked.size
    assert (tile(plain_sheet, 0, 0) != tile(marked, 0, 0)).any()


def test_the_file_is_a_png_whatever_its_name(tmp_path: Path, picture: Draw) -> None:
    path = picture(tmp_path / "p.png", 0)
    write_sheet(tmp_path / "out" / "sheet", [answer("p", path, [])])
    with PIL.Image.open(tmp_path / "out" / "sheet") as sheet:
        assert sheet.format == "PNG"
    with pytest.raises(ValueError, match="at least one query"):
        write_sheet(tmp_path / "none.png", [])
    assert not (tmp_path / "none.png").exists()
