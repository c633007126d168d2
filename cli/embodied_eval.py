"""`mlcd embodied eval`: a model's answers on OpenEQA, RoboVQA and more, measured and judged."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg, subcommand

from mlcd.cli.embodied_general import General, run_general
from mlcd.cli.output import note, print_json, print_result, progress_bar

if TYPE_CHECKING:
    from mlcd.apps.embodied.asking import Ask
    from mlcd.apps.embodied.judge import Judge
    from mlcd.core.language.backend import LanguageBackend
    from mlcd.core.results import Result

JUDGED = "judged"
"""In the folder of the result: what the judge said of the answers."""


@dataclass(frozen=True, kw_only=True)
class OpenEqa:
    """OpenEQA: questions about walks through rooms."""

    root: Annotated[Path, arg(metavar="FOLDER")]
    """Where open-eqa-v0.json and frames/ are."""
    questions: Path | None = None
    """The file of questions, when it is another one."""
    num_frames: int = 32
    """Most frames of an episode."""
    frame_rule: Literal["official", "mlcd"] = "official"
    """Evenly from the first frame to the last, or as MLCD's evaluation took them."""
    allow_gaps: bool = False
    """Take episodes of which frames are missing."""
    predictions: Path | None = None
    """Answers that are there already, as the official evaluation takes them; only judged."""
    judge: str | None = None
    """Who marks the answers: a server's address (http://HOST:PORT/v1), or a model as for --model,
    whose expected mark is taken. Without, only what needs no judge is measured."""
    judge_name: str | None = None
    """The judge's name at its server, when that has several."""
    judge_key_variable: str | None = None
    """Environment variable that holds the key of the judge's server."""
    judge_prompt: tuple[Path, Path] | None = None
    """OpenEQA's prompts/mmbench.txt and mmbench-extra.txt; our own words when left out."""
    judge_workers: int = 4
    """Marks that are asked of a server at once."""


@dataclass(frozen=True, kw_only=True)
class RoboVqa:
    """RoboVQA: questions about a robot's short videos."""

    root: Annotated[Path, arg(metavar="FOLDER")]
    """A tfrecord, or a folder of them."""
    every: int = 2
    """Of the stored frames; every second of 16 is MLCD's way."""
    as_published: bool = False
    """Ask the terse questions as they stand, not as MLCD rewrote them."""
    most_videos: int | None = None
    """Only the first so many."""


def evaluate(
    set: (  # noqa: A002
        Annotated[OpenEqa, subcommand("openeqa")]
        | Annotated[RoboVqa, subcommand("robovqa")]
        | Annotated[General, subcommand("general")]
    ),
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    model: str = "mlcd-embodied-tiny",
    model_name: str | None = None,
    shown: Literal["episode", "single", "none"] = "episode",
    prompt: Literal["plain", "mlcd"] = "plain",
    max_new_tokens: int = 128,
    device: str | None = None,
    json: bool = False,
) -> None:
    """Ask a model all questions of a set; started again in the same folder, it goes on.

    Args:
        output: The folder of the result: result.json, samples.jsonl, report.html.
        model: Embedded name, model folder, hub id, or the address of a server.
        model_name: The model's name at its server, when that has several.
        shown: All frames; or as a control the last one alone, or none.
        prompt: The frames and the question, or MLCD's numbered frames and request.
        max_new_tokens: Of one answer.
        device: Where the model computes; the CPU when left out.
        json: Print one JSON document.
    """
    how = Asking(shown=shown, prompt=prompt, max_new_tokens=max_new_tokens)
    if isinstance(set, General):
        if how != Asking():
            raise ValueError(
                "general: each task of the harness says itself what is shown and how it is asked; "
                "leave out --shown, --prompt and --max-new-tokens"
            )
        run_general(set, output, model, name=model_name, device=device, json=json)
        return
    if isinstance(set, RoboVqa):
        print_result(_robovqa(set, output, _load(model, model_name, device), how), json=json)
        return
    answered = None
    if set.predictions is None:
        answered = _openeqa(set, output, _load(model, model_name, device), how)
        if not json or set.judge is None:
            print_result(answered, json=json)
    if set.judge is None and set.predictions is not None:
        raise ValueError("--predictions are there to be judged: say by whom with --judge")
    if set.judge is not None:
        judged = _judged(set, output, model, device)
        if json and answered is not None:
            document = {"result": str(answered.folder), **answered.to_json()}
            print_json(document | {"judged": {"result": str(judged.folder), **judged.to_json()}})
        else:
            print_result(judged, json=json)


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How every set is asked."""

    shown: Literal["episode", "single", "none"] = "episode"
    prompt: Literal["plain", "mlcd"] = "plain"
    max_new_tokens: int = 128

    def asker(self, backend: LanguageBackend) -> Ask:
        """The function that asks."""
        from mlcd.apps.embodied.asking import asker

        return asker(backend, style=self.prompt, max_new_tokens=self.max_new_tokens)


def _openeqa(set: OpenEqa, folder: Path, backend: LanguageBackend, how: Asking) -> Result:  # noqa: A002
    from mlcd.apps.embodied.openeqa import OpenEqaSettings, answer_openeqa
    from mlcd.core.datasets.openeqa import read_openeqa

    settings = OpenEqaSettings(
        num_frames=set.num_frames,
        rule=set.frame_rule,
        shown=how.shown,
        style=how.prompt,
        max_new_tokens=how.max_new_tokens,
        allow_gaps=set.allow_gaps,
    )
    with progress_bar("asking") as progress:
        return answer_openeqa(
            read_openeqa(_questions_file(set)),
            set.root / "frames",
            how.asker(backend),
            folder,
            model=backend.name,
            weights_sha256=_weights_sha256(backend),
            settings=settings,
            progress=progress,
        )


def _robovqa(set: RoboVqa, folder: Path, backend: LanguageBackend, how: Asking) -> Result:  # noqa: A002
    from mlcd.apps.embodied.robovqa import RoboVqaSettings, answer_robovqa

    settings = RoboVqaSettings(
        every=set.every,
        shown=how.shown,
        style=how.prompt,
        is_rewritten=not set.as_published,
        max_new_tokens=how.max_new_tokens,
    )
    with progress_bar("asking") as progress:
        return answer_robovqa(
            set.root,
            how.asker(backend),
            folder,
            model=backend.name,
            weights_sha256=_weights_sha256(backend),
            settings=settings,
            most_videos=set.most_videos,
            progress=progress,
        )


def _judged(set: OpenEqa, folder: Path, model: str, device: str | None) -> Result:  # noqa: A002
    from mlcd.apps.embodied.judge import own_prompt, read_prompt_files
    from mlcd.apps.embodied.openeqa import PREDICTIONS
    from mlcd.apps.embodied.openeqa_judging import judge_openeqa
    from mlcd.core.datasets.openeqa import read_openeqa, read_predictions

    if set.judge_prompt is None:
        prompt = own_prompt()
        note("the judge is told in mlcd's own words; --judge-prompt takes OpenEQA's two files")
    else:
        prompt = read_prompt_files(*set.judge_prompt)
    judge, workers = _judge(set, device)
    label = model if set.predictions is None else set.predictions.stem
    with progress_bar("judging") as progress:
        return judge_openeqa(
            read_openeqa(_questions_file(set)),
            read_predictions(set.predictions or folder / PREDICTIONS),
            judge,
            folder / JUDGED,
            model=label,
            prompt=prompt,
            workers=workers,
            progress=progress,
        )


def _judge(set: OpenEqa, device: str | None) -> tuple[Judge, int]:  # noqa: A002
    """The judge, and how many marks it is asked for at once."""
    from mlcd.apps.embodied.assistant import is_address, load_backend
    from mlcd.apps.embodied.judge import ExpectingJudge, WritingJudge
    from mlcd.core.language import load_vlm

    assert set.judge is not None
    if not is_address(set.judge):
        return ExpectingJudge(load_vlm(set.judge, device=device)), 1
    key = None
    if set.judge_key_variable is not None:
        key = os.environ.get(set.judge_key_variable)
        if not key:
            raise ValueError(f"--judge-key-variable: {set.judge_key_variable} is not set")
    backend = load_backend(set.judge, name=set.judge_name, api_key=key)
    return WritingJudge(backend), set.judge_workers


def _questions_file(set: OpenEqa) -> Path:  # noqa: A002
    return set.questions or set.root / "open-eqa-v0.json"


def _load(model: str, name: str | None, device: str | None) -> LanguageBackend:
    from mlcd.apps.embodied.assistant import load_backend

    return load_backend(model, name=name, device=device)


def _weights_sha256(backend: LanguageBackend) -> str:
    """Of a model at a server only its name is known."""
    from mlcd.core.checkpoint import weights_digest
    from mlcd.core.language import VisionLanguageModel

    if isinstance(backend, VisionLanguageModel):
        return weights_digest(backend.state_dict())
    return f"unknown: {backend.name} at a server"
