"""The report is one page that needs nothing else, shows every number, and runs no foreign text."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image as PillowImage

from mlcd.core.results import Picture, Plot, Published, Result, Table

Finish = Callable[..., Result]
VOID = {"meta", "img", "circle", "line", "path", "rect", "br"}


class Balanced(HTMLParser):
    """Checks that every element is closed in order, and keeps elements and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(result: Result) -> tuple[str, Balanced]:
    page = (result.folder / "report.html").read_text(encoding="utf-8")
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    return page, parser


def test_the_page_shows_metrics_with_intervals_tables_and_origin(finish: Finish) -> None:
    result = finish(
        "run",
        {str(number): float(number % 4 == 0) for number in range(40)},
        tables=[Table(title="By kind", columns=["kind", "n"], rows=[["cat", 1234], ["dog", None]])],
        plots=[Plot(title="Recall", x_label="k", y_label="r", lines={"a": [(1, 0.5), (2, 0.6)]})],
    )
    _, page = read(result)
    low, high = result.intervals["accuracy"]
    for shown in (
        "tiny", "each toy against all others", "accuracy", "0.2500", f"{low:.4f} to {high:.4f}",
        "40 samples", "By kind", "1,234", "–", "Recall", "aa" * 32, "bb" * 32, "batch_size",
        result.finished, result.runs[0].versions["numpy"],
    ):  # fmt: skip
        assert shown in page.text


def test_the_page_loads_nothing_and_runs_nothing(finish: Finish) -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    page, parsed = read(finish("run", {"a": 1}, pictures=[Picture(image=image, caption="black")]))
    assert not re.search(r"https?:|@import|url\(", page)
    tags = {tag for tag, _ in parsed.elements}
    assert not tags & {"script", "link", "iframe"}
    sources = [attributes["src"] for tag, attributes in parsed.elements if tag == "img"]
    assert all(source and source.startswith("data:image/jpeg;base64,") for source in sources)


def test_foreign_text_stays_text(finish: Finish) -> None:
    evil = '"><script>alert(1)</script>'
    result = finish(
        "run",
        {"a": 1},
        tables=[Table(title=evil, columns=[evil], rows=[[evil]], note=evil)],
        plots=[Plot(title=evil, x_label=evil, y_label=evil, lines={evil: [(0, 1)], "b": [(0, 1)]})],
        pictures=[Picture(image=np.zeros((4, 4, 3), np.uint8), caption=evil)],
        published=[Published(metric="accuracy", value=1, model=evil, source=evil)],
    )
    _, page = read(result)
    assert "script" not in {tag for tag, _ in page.elements}
    assert page.text.count(evil) >= 8


def test_names_that_are_no_valid_text_do_not_stop_the_report(finish: Finish) -> None:
    picture = Picture(image=np.zeros((4, 4, 3), np.uint8), caption="caf\udce9.png")
    _, page = read(finish("run", {"caf\udce9.png": 1}, pictures=[picture]))
    assert r"caf\udce9.png" in page.text


def test_the_papers_numbers_are_marked_as_the_papers(finish: Finish) -> None:
    number = Published(metric="accuracy", value=0.885, model="theirs", source="a paper, table 5")
    _, page = read(finish("run", {"a": 1}, published=[number]))
    assert "the paper's: a paper, table 5" in page.text
    rows = [attributes.get("class") for tag, attributes in page.elements if tag == "tr"]
    assert rows.count("paper") == 1


def test_worst_cases_are_small_pictures_of_their_images(finish: Finish) -> None:
    image = np.full((600, 1200, 3), (200, 30, 60), np.uint8)  # twice as wide: no panorama yet
    _, page = read(finish("run", {"a": 0}, pictures=[Picture(image=image, caption="red")]))
    (source,) = [attributes["src"] for tag, attributes in page.elements if tag == "img"]
    assert source is not None
    shown = PillowImage.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    assert shown.size == (480, 240)
    assert np.abs(np.asarray(shown).astype(int) - (200, 30, 60)).max() <= 4


def test_a_row_of_hits_is_as_wide_as_the_page(finish: Finish) -> None:
    row = Picture(image=np.zeros((200, 1300, 3), np.uint8), caption="query and hits")
    _, page = read(finish("run", {"a": 0}, pictures=[row]))
    (image,) = [attributes for tag, attributes in page.elements if tag == "img"]
    assert image["width"] == "960"
    assert ("figure", {"class": "panorama"}) in page.elements


def test_a_table_with_a_short_row_is_refused() -> None:
    with pytest.raises(ValueError, match="'t': expected 2 cells a row"):
        Table(title="t", columns=["a", "b"], rows=[["x"]])


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_a_picture_that_is_no_rgb_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="'p': expected RGB uint8"):
        Picture(image=image, caption="p")


def test_pictures_stand_under_their_own_headings(finish: Finish) -> None:
    image = np.zeros((4, 6, 3), dtype=np.uint8)
    pictures = [
        Picture(image=image, caption="one"),
        Picture(image=image, caption="two", section="Best cases"),
        Picture(image=image, caption="three"),
    ]
    page = (finish("run", {"a": 1.0}, pictures=pictures).folder / "report.html").read_text()
    worst, best = page.index("<h2>Worst cases</h2>"), page.index("<h2>Best cases</h2>")
    assert worst < page.index("<figcaption>three") < best < page.index("<figcaption>two")
