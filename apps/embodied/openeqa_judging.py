"""OpenEQA's LLM-Match: a judge marks answers against the right ones, into a resumable folder.

Answers come from any official prediction file; no model that answered is needed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from threading import Event

from mlcd.apps.embodied.judge import Judge, JudgeError, JudgePrompt, cut_unfinished
from mlcd.apps.embodied.openeqa import described, means_by_part, table_by_category
from mlcd.apps.embodied.published import published_openeqa
from mlcd.core.datasets.openeqa import OpenEqaQuestion, questions_sha256
from mlcd.core.files import write_text
from mlcd.core.language.remote_answer import RemoteError
from mlcd.core.ordered import ordered_map
from mlcd.core.results import Evaluation, Result, Stamp
from mlcd.core.results.sample_log import Sample

SCORES = "metrics.json"
"""In the result's folder: the marks as the official evaluation writes them."""
MEASURE = "LLM-match"
_REFUSES_ONE = (400, 413, 422)
"""What a server says of one request that it does not take, and of no other."""

Outcome = float | JudgeError | OSError | None
"""A mark, nonsense, a judge that cannot be reached, or not asked."""


def judge_openeqa(
    questions: Sequence[OpenEqaQuestion],
    predictions: Mapping[str, str | None],
    judge: Judge,
    folder: Path,
    *,
    model: str,
    prompt: JudgePrompt,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Have all answers marked, or go on where an earlier run into `folder` ended.

    Every mark is on disk when it is given, and nothing is judged twice. A question without an
    answer gets no point without being judged. ValueError: answers to other questions than these,
    another measurement in the folder, or answers that got no mark: a judge's nonsense stops
    nothing else, and one that cannot be reached (`ConnectionError`, `TimeoutError`) is asked no
    more; the next run asks for what is missing.
    """
    _check_ids(questions, predictions)
    stamp = Stamp(
        task="openeqa-llm-match",
        protocol=_protocol(questions, judge, prompt),
        model=model,
        weights_sha256=f"predictions {_sha256(questions, predictions)}",
        data_sha256=questions_sha256(questions),
        prompt_sha256=prompt.sha256,
        seed=0,
        settings={"judge": judge.name, **judge.settings},
    )
    with Evaluation.open(folder, stamp, num_samples=len(questions)) as evaluation:
        if evaluation.result is not None:
            return evaluation.result
        left = [question for question in questions if question.id not in evaluation.done]
        failures: list[JudgeError | OSError] = []
        for question, outcome in _judged(left, predictions, judge, prompt, workers):
            if isinstance(outcome, float):
                evaluation.add(_sample(question, predictions[question.id], outcome))
            elif outcome is not None:
                failures.append(outcome)
            if progress is not None:
                progress(len(evaluation.done), len(questions))
        if failures:
            raise _unfinished(len(questions) - len(evaluation.done), failures, folder)
        samples = evaluation.samples()
        marks = {sample["id"]: sample["mark"] for sample in samples}
        scores = {question.id: marks[question.id] for question in questions}
        write_text(folder / SCORES, json.dumps(scores, indent=2) + "\n")
        return evaluation.finish(
            summarize(samples),
            summarize=summarize,
            tables=[table_by_category(samples, {MEASURE: "score"})],
            published=published_openeqa(questions),
        )


def summarize(samples: Sequence[Sample]) -> dict[str, float]:
    """LLM-match, 0 to 1, over all questions, of each category and of each source.

    A hundred times this is OpenEQA's number: the mean of (mark - 1) / 4.
    """
    return means_by_part(samples, MEASURE, "score")


def _judged(
    questions: Sequence[OpenEqaQuestion],
    predictions: Mapping[str, str | None],
    judge: Judge,
    prompt: JudgePrompt,
    workers: int,
) -> Iterable[tuple[OpenEqaQuestion, Outcome]]:
    """Each question with its outcome. Marks that are on their way when the judge dies come too."""
    is_gone = Event()

    def mark(question: OpenEqaQuestion) -> tuple[OpenEqaQuestion, Outcome]:
        said = predictions[question.id]
        if said is None:
            return question, 0.0
        if is_gone.is_set():
            return question, None
        request = prompt.fill(
            question.text, question.answer, question.extra_answers, cut_unfinished(said)
        )
        try:
            return question, judge.mark(request)
        except JudgeError as error:
            return question, error
        except OSError as error:
            if not (isinstance(error, RemoteError) and error.status in _REFUSES_ONE):
                is_gone.set()
            return question, error

    return ordered_map(mark, questions, workers=workers)


def _sample(question: OpenEqaQuestion, prediction: str | None, mark: float) -> Sample:
    score = (min(max(mark, 1.0), 5.0) - 1) / 4
    whole = int(mark) if mark == int(mark) else mark
    return {
        "id": question.id,
        "score": score,
        "mark": whole,
        **described(question),
        "prediction": prediction,
    }


def _unfinished(missing: int, failures: Sequence[JudgeError | OSError], folder: Path) -> ValueError:
    gone = [failure for failure in failures if not isinstance(failure, JudgeError)]
    why = f"the judge does not answer ({gone[0]})" if gone else str(failures[0])
    return ValueError(
        f"{missing:,} answers have no mark: {why}; run the same command again: marks that were "
        f"given are in {folder} and stay"
    )


def _check_ids(questions: Sequence[OpenEqaQuestion], predictions: Mapping[str, str | None]) -> None:
    ids = {question.id for question in questions}
    missing, strange = sorted(ids - set(predictions)), sorted(set(predictions) - ids)
    if missing or strange:
        examples = ", ".join([*missing[:1], *strange[:1]])
        raise ValueError(
            f"expected one prediction for each of the {len(ids):,} questions: {len(missing):,} are "
            f"missing and {len(strange):,} belong to none of them ({examples}); give the "
            "predictions of these questions, with null where there is no answer"
        )


def _sha256(questions: Sequence[OpenEqaQuestion], predictions: Mapping[str, str | None]) -> str:
    said = [[question.id, predictions[question.id]] for question in questions]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _protocol(questions: Sequence[OpenEqaQuestion], judge: Judge, prompt: JudgePrompt) -> str:
    return (
        f"OpenEQA (EM-EQA), LLM-Match: {len(questions):,} answers, each cut after its last full "
        f"stop, marked from 1 to 5 by {judge.name} against the right answers; prompt: "
        f"{prompt.origin}; the mean of (mark - 1) / 4, a missing answer being 0"
    )
