"""`report.html`: one self-contained page for people, light or dark, on any width.

Pictures and plots are inside the file; it loads nothing and runs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from mlcd.core.results.exhibits import Picture, Plot
from mlcd.core.results.page import (
    facts_html,
    figure_html,
    legend_html,
    picture_html,
    render_page,
    section_html,
    table_html,
)
from mlcd.core.results.plain_json import json_text
from mlcd.core.results.plots import histogram, interval_bar, line_plot, number_text
from mlcd.core.results.result import Result
from mlcd.core.results.sample_log import Sample


def render_report(
    result: Result,
    samples: Sequence[Sample],
    *,
    plots: Sequence[Plot] = (),
    pictures: Sequence[Picture] = (),
) -> str:
    """The page's HTML: metrics with intervals, scores, plots, tables, pictures, origin."""
    scores = [float(sample["score"]) for sample in samples]
    spread = histogram(scores, title="Scores of the samples", x_label="score")
    shown = [figure_html("Scores of the samples", spread)]
    shown += [figure_html(plot.title, line_plot(plot), legend_html(plot)) for plot in plots]
    stamp = result.stamp
    body = [
        f"<header><p class=eyebrow>{escape(stamp.task)}</p><h1>{escape(stamp.model)}</h1>"
        f"<p class=protocol>{escape(stamp.protocol)}</p></header>",
        _metrics(result),
        f"<section><h2>Plots</h2><div class=plots>{''.join(shown)}</div></section>",
        *(section_html(table.title, table_html(table)) for table in result.tables),
    ]
    for section in dict.fromkeys(picture.section for picture in pictures):
        own = [picture for picture in pictures if picture.section == section]
        cards = "".join(picture_html(picture) for picture in own)
        body.append(section_html(section, f"<div class=pictures>{cards}</div>"))
    body.append(_origin(result))
    return render_page(f"{stamp.model}, {stamp.task}", body)


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
        f"where the metric is a mean or a ratio of sums over them."
    )
    head = "<tr><th>metric</th><th class=number>value</th><th class=number>95 %</th><th></th></tr>"
    return section_html(
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
        facts_html(
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
    return section_html(
        "Origin",
        facts_html(facts)
        + "".join(
            f"<h3>Run {number} of {len(runs)}</h3>{run}" for number, run in enumerate(runs, 1)
        )
        + "<p class=note>Compute the metrics again from samples.jsonl with "
        "<code>mlcd results recompute</code> and this folder.</p>",
    )


def _setting(value: Any) -> str:
    return value if isinstance(value, str) else json_text(value)


def _listed(facts: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())
