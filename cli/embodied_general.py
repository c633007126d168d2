"""`mlcd embodied eval general`: the published script's 16 benchmarks, run by lmms-eval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from mlcd.cli.output import note, print_json, shown

GENERAL = "general.json"
"""In the folder of the result: all numbers, with the published ones."""


@dataclass(frozen=True, kw_only=True)
class General:
    """The general benchmarks, through lmms-eval (the extra of that name)."""

    tasks: tuple[str, ...] = ()
    """Of the harness, or mlcd_openeqa and mlcd_robovqa; the 16 of MLCD's script when left out."""
    limit: int | None = None
    """Only so many questions of each task: to try it, not to publish it."""
    batch_size: int = 1
    """Answers that are written together, or asked of a server at once."""
    include_path: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """A folder of more tasks, in the place of ours."""
    python: Annotated[Path | None, arg(metavar="PYTHON")] = None
    """The Python of an environment that has mlcd[lmms-eval]; this one when left out."""


def run_general(
    asked: General,
    output: Path,
    model: str,
    *,
    name: str | None,
    device: str | None,
    json: bool,
) -> None:
    """Run the harness; print its numbers beside the published ones, and keep them in `output`."""
    from mlcd.apps.embodied.lmms_eval.harness import (
        PUBLISHED_TASKS,
        HarnessRun,
        numbers_of,
        run_harness,
    )
    from mlcd.apps.embodied.lmms_eval.published_general import beside_published
    from mlcd.core.files import write_text
    from mlcd.core.results.plain_json import json_text, plain

    run = HarnessRun(
        model=model,
        tasks=asked.tasks or PUBLISHED_TASKS,
        name=name,
        device=device,
        batch_size=asked.batch_size,
        limit=asked.limit,
        include_path=asked.include_path,
    )
    numbers = numbers_of(run_harness(run, output, python=asked.python))
    document = {
        "model": model,
        "tasks": list(run.tasks),
        "limit": asked.limit,
        "numbers": numbers,
        "beside": beside_published(numbers),
    }
    write_text(output / GENERAL, json_text(plain(document), indent=2) + "\n")
    if json:
        print_json({"result": str(output), **plain(document)})
    else:
        print("\n".join(as_lines(document)))
        note(f"numbers: {shown(output / GENERAL)}")


def as_lines(document: Mapping[str, Any]) -> list[str]:
    """For people: what the harness measured, then the published tables with our numbers beside.

    Of chosen tasks only the rows that have a number.
    """
    from mlcd.apps.embodied.lmms_eval.harness import PUBLISHED_TASKS

    is_all = document["tasks"] == list(PUBLISHED_TASKS)
    some = document["limit"]
    lines = [
        f"{document['model']}, " + (f"the first {some} questions" if some else "all questions")
    ]
    for task, numbers in document["numbers"].items():
        lines += [f"  {task}: {metric} {value:.4f}" for metric, value in numbers.items()]
    source = None
    for row in document["beside"]:
        if row["ours"] is None and not is_all:
            continue
        if row["source"] != source:
            source = row["source"]
            lines.append(f"the paper's, not measured here: {source}")
        own = "no number" if row["ours"] is None else f"{row['ours']:.2f}"
        theirs = ", ".join(f"{model} {value:g}" for model, value in row["published"].items())
        lines.append(f"  {row['benchmark']:16} ours {own:>9}; {theirs}")
    return lines
