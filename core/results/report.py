"""`report.html`: one self-contained page for people, light or dark, on any width.

Pictures and plots are inside the file; it loads nothing and runs nothing.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from PIL import Image as PillowImage

from mlcd.core.results.exhibits import Cell, Picture, Plot, Table
from mlcd.core.results.plain_json import json_text
from mlcd.core.results.plots import NUM_COLORS, histogram, interval_bar, line_plot, number_text
from mlcd.core.results.result import Result
from mlcd.core.results.sample_log import Sample

# A report with a dozen pictures stays small enough to be sent by mail.
PICTURE_SIZE = 480
PANORAMA_SIZE = 960  # of pictures more than twice as wide as high: rows of hits


def render_report(
    result: Result,
    samples: Sequence[Sample],
    *,
    plots: Sequence[Plot] = (),
    pictures: Sequence[Picture] = (),
) -> str:
    """The page's HTML: metrics with intervals, scores, plots, tables, worst cases, origin."""
    scores = [float(sample["score"]) for sample in samples]
    spread = histogram(scores, title="Scores of the samples", x_label="score")
    shown = [_figure("Scores of the samples", spread)]
    shown += [_figure(plot.title, line_plot(plot), _legend(plot)) for plot in plots]
    stamp = result.stamp
    body = [
        f"<header><p class=eyebrow>{escape(stamp.task)}</p><h1>{escape(stamp.model)}</h1>"
        f"<p class=protocol>{escape(stamp.protocol)}</p></header>",
        _metrics(result),
        f"<section><h2>Plots</h2><div class=plots>{''.join(shown)}</div></section>",
        *(_section(table.title, _table(table)) for table in result.tables),
    ]
    if pictures:
        cards = "".join(_picture(picture) for picture in pictures)
        body.append(_section("Worst cases", f"<div class=pictures>{cards}</div>"))
    body.append(_origin(result))
    title = escape(f"{stamp.model}, {stamp.task}")
    style = files("mlcd.core.results").joinpath("report.css").read_text(encoding="utf-8")
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{style}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )
    return page.encode(errors="backslashreplace").decode()  # file names need not be valid text


def _metrics(result: Result) -> str:
    """Our metrics, each with its interval and the numbers that others published for it."""
    rows = []
    for name, value in result.metrics.items():
        interval = result.intervals.get(name)
        bar = interval_bar(value, interval) if 0 <= value <= 1 else ""
        ends = f"{interval.low:.4f} to {interval.high:.4f}" if interval else ""
        rows.append(
            f"<tr><th scope=row>{escape(name)}</th><td class=number>{number_text(value)}</td>"
            f"<td class=number>{ends}</td><td>{bar}</td></tr>"
        )
        rows += [
            f"<tr class=paper><th scope=row>{escape(number.model)}</th>"
            f"<td class=number>{number_text(number.value)}</td>"
            f"<td colspan=2>the paper's: {escape(number.source)}</td></tr>"
            for number in result.published
            if number.metric == name
        ]
    note = (
        f"{result.num_samples:,} samples. 95 % intervals: bootstrap over the samples, "
        f"where the metric is a mean over them."
    )
    head = "<tr><th>metric</th><th class=number>value</th><th class=number>95 %</th><th></th></tr>"
    return _section(
        "Metrics",
        f"<div class=wide><table class=metrics><thead>{head}</thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div><p class=note>{note}</p>",
    )


def _origin(result: Result) -> str:
    stamp = result.stamp
    facts: dict[str, Any] = {
        "weights SHA-256": stamp.weights_sha256,
        "data SHA-256": stamp.data_sha256,
        "prompt SHA-256": stamp.prompt_sha256,
        "seed": stamp.seed,
        **{name: _setting(value) for name, value in stamp.settings.items()},
        "finished": result.finished,
    }
    runs = [
        _facts(
            {
                "started": f"{run.started}, at sample {run.first_sample}",
                "command": run.command,
                "commit": run.commit,
                "versions": _listed(run.versions),
                "hardware": _listed(run.hardware),
            }
        )
        for run in result.runs
    ]
    return _section(
        "Origin",
        _facts(facts)
        + "".join(
            f"<h3>Run {number} of {len(runs)}</h3>{run}" for number, run in enumerate(runs, 1)
        )
        + "<p class=note>Compute the metrics again from samples.jsonl with "
        "<code>mlcd results recompute</code> and this folder.</p>",
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _table(table: Table) -> str:
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


def _figure(title: str, drawing: str, legend: str = "") -> str:
    return f"<figure><figcaption>{escape(title)}</figcaption>{drawing}{legend}</figure>"


def _legend(plot: Plot) -> str:
    if len(plot.lines) < 2:
        return ""
    names = "".join(
        f'<li><span class="c{number % NUM_COLORS}"></span>{escape(name)}</li>'
        for number, name in enumerate(plot.lines)
    )
    return f"<ul class=legend>{names}</ul>"


def _picture(picture: Picture) -> str:
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


def _facts(facts: Mapping[str, Any]) -> str:
    pairs = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>"
        for name, value in facts.items()
        if value is not None and value != ""
    )
    return f"<dl>{pairs}</dl>"


def _setting(value: Any) -> str:
    return value if isinstance(value, str) else json_text(value)


def _listed(facts: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())
