"""lmms-eval's harness as a process of its own: what it is asked, and the numbers that it wrote.

Importable without it: it often stands in an environment of its own, with another torch.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PUBLISHED_TASKS = (
    "mmbench",
    "mme",
    "mmmu",
    "ocrbench",
    "scienceqa",
    "scienceqa_img",
    "seedbench",
    "gqa",
    "pope",
    "textvqa_val",
    "ai2d",
    "chartqa",
    "docvqa_val",
    "infovqa_val",
    "realworldqa",
    "mmstar",
)
"""Those of MLCD's eval.sh, in its order."""

_RESULTS = "*_results.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class HarnessRun:
    """What the harness is asked."""

    model: str
    """Embedded name, model folder, hub id, or the address of a server."""
    tasks: Sequence[str]
    name: str | None = None
    """The model's name at its server."""
    device: str | None = None
    batch_size: int = 1
    limit: int | None = None
    """Documents of each task; all when left out."""
    include_path: Path | None = None
    """A folder of more tasks, in the place of ours."""

    def __post_init__(self) -> None:
        for value, what in ((self.model, "a model"), *((own, "a task") for own in self.tasks)):
            if not value or "," in value or value != value.strip():
                raise ValueError(
                    f"{value!r}: expected {what} named without commas and spaces around"
                )
        if not self.tasks:
            raise ValueError("no task to run: name one, or leave --tasks out for the published 16")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit {self.limit}: expected at least one document of each task")

    def arguments(self, output: Path) -> list[str]:
        """The harness's command line."""
        own = Path(self.model)
        model = f"pretrained={own.resolve() if own.exists() else self.model}"
        model += f",name={self.name}" if self.name else ""
        given = ["--model", "mlcd", "--model_args", model, "--tasks", ",".join(self.tasks)]
        given += ["--batch_size", str(self.batch_size), "--output_path", str(output)]
        tasks = (self.include_path or task_folder()).resolve()
        given += ["--log_samples", "--include_path", str(tasks)]
        given += [] if self.device is None else ["--device", self.device]
        return given + ([] if self.limit is None else ["--limit", str(self.limit)])


def task_folder() -> Path:
    """Where the harness finds the tasks of all applications: it looks through all folders below."""
    return Path(__file__).parents[2]


def run_harness(run: HarnessRun, output: Path, *, python: Path | None = None) -> dict[str, Any]:
    """Run the harness and give the document that it wrote below `output`.

    What it prints goes to stderr. `python`: the interpreter of the environment that has it, this
    one when left out. ImportError when that has none; ValueError when it wrote no results, which
    it also does where it ends as if all were well.
    """
    interpreter = str(Path(python or sys.executable).absolute())  # a link, in a venv: not resolved
    _check(interpreter)
    output.mkdir(parents=True, exist_ok=True)
    before = set(output.rglob(_RESULTS))
    environment = dict(os.environ)
    if environment.get("HF_HUB_OFFLINE"):
        environment.setdefault("HF_DATASETS_OFFLINE", "1")
    command = [interpreter, "-m", "lmms_eval", *run.arguments(output.resolve())]
    # Some tasks write their submissions into the folder that they run in.
    done = subprocess.run(command, stdout=2, cwd=output, env=environment, check=False)
    written = sorted(set(output.rglob(_RESULTS)) - before)
    if done.returncode or not written:
        raise ValueError(
            f"lmms-eval ended with exit code {done.returncode} and "
            f"{'no results' if not written else 'results'} in {output}: its own words above say why"
        )
    document: dict[str, Any] = json.loads(written[-1].read_text(encoding="utf-8"))
    return document


def numbers_of(document: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Task: metric: value of a document of results; of groups too where they have numbers."""
    found: dict[str, dict[str, float]] = {}
    for task, entries in document["results"].items():
        numbers = {
            key.partition(",")[0]: float(value)
            for key, value in entries.items()
            if type(value) in (int, float) and "_stderr" not in key and "," in key
        }
        if numbers:
            found[str(task)] = numbers
    return found


def _check(interpreter: str) -> None:
    """ImportError, naming the extra, where the environment lacks the harness or mlcd."""
    for module in ("lmms_eval", "mlcd"):
        asked = (
            f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
        )
        try:
            # -P: what lies in the folder of the caller is not installed.
            found = subprocess.run([interpreter, "-P", "-c", asked], check=False).returncode == 0
        except OSError as error:
            raise ValueError(f"{interpreter}: no Python that can be run: {error}") from error
        if not found:
            raise ImportError(
                f"{module} is not installed in {interpreter}'s environment; run there: pip install "
                "'mlcd[lmms-eval]', or name the Python of another environment with --python"
            )
