"""`mlcd results`: what evaluations found, how two differ, and whether their numbers hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from mlcd.cli.output import note, print_json, shown
from mlcd.cli.verbs import run_verb

if TYPE_CHECKING:
    from mlcd.core.results import Comparison, Result
    from mlcd.core.results.comparison import Change
    from mlcd.core.results.sample_log import Sample
    from mlcd.core.results.sample_values import Summarize

# task: the function that computes every metric from the samples, as "module:function"
SUMMARIZE = {
    "retrieval": "mlcd.apps.retrieval.metrics:summarize",
    "picture-questions": "mlcd.apps.embodied.playroom_questions:summarize",
    "openeqa": "mlcd.apps.embodied.openeqa:summarize",
    "openeqa-llm-match": "mlcd.apps.embodied.openeqa_judging:summarize",
    "robovqa": "mlcd.apps.embodied.robovqa:summarize",
    "referring": "mlcd.apps.seg.sample_table:summarize",
    "probe-knn": "mlcd.training.probes.knn:summarize",
    "probe-linear": "mlcd.training.probes.metrics:summarize",
}

MOST_FLIPS = 20  # ids named on the terminal; --json names all

ResultFolder = Annotated[Path, Positional, arg(metavar="FOLDER")]


def main(arguments: Sequence[str]) -> int | None:
    """Parse the arguments of `mlcd results` and run the verb."""
    return run_verb(
        "results",
        {"show": show, "compare": compare, "recompute": recompute},
        arguments,
        description="Evaluations: what they found, how two differ, whether their numbers hold.",
    )


def show(folder: ResultFolder, json: bool = False) -> None:
    """Print what an evaluation measured and found.

    Args:
        folder: The folder that the evaluation wrote.
        json: Print one JSON document.
    """
    from mlcd.core.results import load_result
    from mlcd.core.results.result import REPORT

    result = load_result(folder)
    if json:
        print_json(result.to_json())
        return
    print("\n".join(_result_lines(result)))
    if (folder / REPORT).exists():
        note(f"to look at: {shown(folder / REPORT)}")


def compare(
    first: Annotated[Path, Positional, arg(metavar="A")],
    second: Annotated[Path, Positional, arg(metavar="B")],
    right_from: float = 0.5,
    json: bool = False,
) -> None:
    """Print what differs in how two evaluations measured, then in what they found.

    Args:
        first: The folder of one evaluation.
        second: The folder of the other; changes are B minus A.
        right_from: A sample counts as right from this score on.
        json: Print one JSON document.
    """
    from mlcd.core.results import compare as compare_results
    from mlcd.core.results import load_result

    results = load_result(first), load_result(second)
    task = results[0].stamp.task
    same_task = task == results[1].stamp.task
    comparison = compare_results(
        *results,
        summarize=summarize_of(task) if same_task and task in SUMMARIZE else None,
        right_from=right_from,
    )
    if json:
        print_json(comparison.to_json())
    else:
        print("\n".join(_comparison_lines(comparison)))


def recompute(folder: ResultFolder, json: bool = False) -> int:
    """Compute every metric again from samples.jsonl; exit with 1 when one is not as stated.

    Args:
        folder: The folder that the evaluation wrote.
        json: Print one JSON document.
    """
    from mlcd.core.results import load_result
    from mlcd.core.results.plain_json import number_json
    from mlcd.core.results.plots import number_text
    from mlcd.core.results.sample_values import differing_metrics

    result = load_result(folder)
    metrics = summarize_of(result.stamp.task)(result.samples())
    differing = differing_metrics(result.metrics, metrics)
    if json:
        print_json(
            {
                "folder": str(folder),
                "is_equal": not differing,
                "differing": differing,
                "stated": {name: number_json(value) for name, value in result.metrics.items()},
                "recomputed": {name: number_json(value) for name, value in metrics.items()},
            }
        )
        return 1 if differing else 0
    sides = result.metrics, metrics
    names = list({**sides[0], **sides[1]})
    rows = [
        [
            name,
            *(
                number_text(side[name]) if name in side else "-"
                for side in (result.metrics, metrics)
            ),
            "DIFFERS" if name in differing else "equal",
        ]
        for name in names
    ]
    print("\n".join(_aligned([["metric", "stated", "recomputed", ""], *rows])))
    samples = f"{result.num_samples:,} samples"
    if differing:
        note(f"{len(differing)} of {len(names)} metrics are not what {samples} give")
        return 1
    note(f"all {len(names)} metrics are what {samples} give")
    return 0


def summarize_of(task: str) -> Summarize:
    """The function that computes the task's metrics; ValueError when this mlcd knows none.

    What it finds missing in the samples becomes a ValueError too: they came from a user's disk.
    """
    if task not in SUMMARIZE:
        raise ValueError(
            f"no metrics are known for the task {task!r}; known tasks: {', '.join(SUMMARIZE)}"
        )
    module, _, function = SUMMARIZE[task].partition(":")
    compute: Summarize = getattr(import_module(module), function)

    def summarize(samples: list[Sample]) -> Mapping[str, float]:
        try:
            return compute(samples)
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"the samples lack what the metrics of {task!r} need "
                f"({type(error).__name__}: {error}); evaluate anew with this mlcd"
            ) from error

    return summarize


def _result_lines(result: Result) -> list[str]:
    from mlcd.core.results.plots import number_text

    stamp = result.stamp
    rows = []
    for name, value in result.metrics.items():
        ends = result.intervals.get(name)
        text = f"95 %: {ends.low:.4f} to {ends.high:.4f}" if ends else ""
        rows.append([name, number_text(value), text])
        rows += [
            [f"  {number.model}", number_text(number.value), f"the paper's: {number.source}"]
            for number in result.published
            if number.metric == name
        ]
    return [
        f"{stamp.task}: {stamp.model}, {result.num_samples:,} samples",
        stamp.protocol,
        "",
        *_aligned(rows),
        "",
        f"weights {stamp.weights_sha256}",
        f"data    {stamp.data_sha256}",
        *([f"prompt  {stamp.prompt_sha256}"] if stamp.prompt_sha256 else []),
        f"seed {stamp.seed}, finished {result.finished}, "
        f"commit {result.runs[-1].commit or 'unknown'}",
    ]


def _comparison_lines(comparison: Comparison) -> list[str]:
    lines = [
        f"A: {comparison.first.stamp.model} ({shown(comparison.first.folder)})",
        f"B: {comparison.second.stamp.model} ({shown(comparison.second.folder)})",
        "",
    ]
    if not comparison.is_same_measurement:
        lines.append("NOT THE SAME MEASUREMENT: read the numbers below with this in mind")
    for name, (ours, theirs) in comparison.measured.items():
        lines += [f"{name} differs", f"  A: {ours}", f"  B: {theirs}"]
    if not comparison.measured:
        lines.append("protocol, weights, data, prompt, seed and settings are the same")
    for name, (ours, theirs) in comparison.made_with.items():
        lines.append(f"made with another {name}: {ours or 'none'} and {theirs or 'none'}")
    lines += ["", _shared_line(comparison), ""]
    for word, ids in (("wrong -> right", comparison.gained), ("right -> wrong", comparison.lost)):
        named = ", ".join(shown(name) for name in ids[:MOST_FLIPS])
        more = f", and {len(ids) - MOST_FLIPS:,} more (--json)" if len(ids) > MOST_FLIPS else ""
        lines.append(f"{word}: {len(ids):,}" + (f" ({named}{more})" if ids else ""))
    lines.append("")
    rows = [_change_row("mean score", comparison.score)]
    rows += [_change_row(name, change) for name, change in comparison.metrics.items()]
    lines += _aligned([["", "A", "B", "B - A", "95 %, paired"], *rows])
    return lines


def _shared_line(comparison: Comparison) -> str:
    if not comparison.only_first and not comparison.only_second:
        return f"the same {comparison.num_shared:,} samples"
    without = "" if comparison.metrics else "; the task's metrics are not known for a part of them"
    return (
        f"{comparison.num_shared:,} samples are in both and compared here; "
        f"{len(comparison.only_first):,} only in A, {len(comparison.only_second):,} only in B"
        f"{without}"
    )


def _change_row(name: str, change: Change) -> list[str]:
    from mlcd.core.results.plots import number_text

    interval = ""
    if change.interval is not None:
        interval = f"{change.interval.low:+.4f} to {change.interval.high:+.4f}"
        interval += "" if change.interval.excludes_zero else "  (zero is inside)"
    difference = number_text(change.change)
    sign = "+" if change.change > 0 else ""
    return [
        name,
        number_text(change.first),
        number_text(change.second),
        sign + difference,
        interval,
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, numbers to the right, what follows the numbers as it is."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    last = len(widths) - 1
    return [
        "  ".join(
            text if column == last else (text.rjust(width) if column else text.ljust(width))
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
