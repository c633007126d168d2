"""OpenEQA as a task of lmms-eval: the questions as documents, answers measured without a judge.

Frames and measures are those of `mlcd embodied eval openeqa`, whose `--predictions` and `--judge`
mark answers as published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import PIL.Image

from mlcd.apps.embodied.openeqa import measure_answer
from mlcd.core.datasets.openeqa import (
    OpenEqaQuestion,
    episode_frames,
    read_openeqa,
    sample_frames,
)
from mlcd.core.environment import path_from_environment
from mlcd.core.images import read_image

VARIABLE = "MLCD_OPENEQA"
NUM_FRAMES = 32


def questions(_: Any) -> Any:
    """Those of `$MLCD_OPENEQA/open-eqa-v0.json`, in the place of what the harness loaded."""
    from datasets import Dataset

    root = path_from_environment(VARIABLE, "OpenEQA's folder, with open-eqa-v0.json and frames/")
    return Dataset.from_list(
        [
            {
                "id": own.id,
                "question": own.text,
                "answer": own.answer,
                "extra_answers": list(own.extra_answers),
                "category": own.category,
                "episode": own.episode,
            }
            for own in read_openeqa(root / "open-eqa-v0.json")
        ]
    )


def frames(doc: Mapping[str, Any]) -> list[Any]:
    """The frames of the episode, evenly from its first to its last, as Pillow's pictures."""
    root = path_from_environment(VARIABLE, "OpenEQA's folder, with open-eqa-v0.json and frames/")
    paths = episode_frames(root / "frames", doc["episode"])
    shown = [paths[number] for number in sample_frames(len(paths), NUM_FRAMES)]
    return [PIL.Image.fromarray(read_image(path)) for path in shown]


def question(doc: Mapping[str, Any]) -> str:
    """The question as it stands."""
    return str(doc["question"])


def measure(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Exact match, F1 of words and containment, the best over all right answers, 0 to 1."""
    asked = OpenEqaQuestion(
        id=doc["id"],
        text=doc["question"],
        answer=doc["answer"],
        extra_answers=tuple(doc["extra_answers"]),
        category=doc["category"],
        episode=doc["episode"],
    )
    sample = measure_answer(asked, results[0].strip())
    return {
        "exact_match": sample["exact"],
        "token_f1": sample["score"],
        "contains": sample["contains"],
    }
