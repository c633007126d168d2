"""RoboVQA as a task of lmms-eval: tfrecords read without TensorFlow, answers scored as MLCD's.

Frames, questions and scorers are those of `mlcd embodied eval robovqa`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import PIL.Image

from mlcd.apps.embodied.robovqa import measure_answer
from mlcd.core.datasets.robovqa import RoboVqaQuestion, read_robovqa, rewrite_question
from mlcd.core.environment import path_from_environment
from mlcd.core.images import read_image

VARIABLE = "MLCD_ROBOVQA"
EVERY = 2
"""Of the stored frames: 8 of 16."""


def questions(_: Any) -> Any:
    """All questions below `$MLCD_ROBOVQA`, in the place of what the harness loaded."""
    from datasets import Dataset

    return Dataset.from_list(
        [
            {
                "id": own.id,
                "video": video.number,
                "task": own.task,
                "family": own.family,
                "question": own.text,
                "answer": own.answer,
            }
            for video in read_robovqa(path_from_environment(VARIABLE, "RoboVQA's tfrecords"))
            for own in video.questions
        ]
    )


def frames(doc: Mapping[str, Any]) -> list[Any]:
    """Every second frame of the video, as Pillow's pictures."""
    return [PIL.Image.fromarray(read_image(data)) for data in _videos()[doc["video"]]]


def question(doc: Mapping[str, Any]) -> str:
    """The question as MLCD rewrote it."""
    return rewrite_question(doc["question"])


def measure(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """MLCD's BLEU-1 to BLEU-4 and their mean; of yes-or-no questions also whether it is right.

    The harness takes the mean of each over the documents that have it.
    """
    asked = RoboVqaQuestion(
        id=doc["id"],
        task=doc["task"],
        family=doc["family"],
        text=doc["question"],
        answer=doc["answer"],
    )
    sample = measure_answer(asked, results[0].strip())
    bleu = {f"mlcd_bleu_{n}": value for n, value in enumerate(sample["bleu"]["mlcd"], start=1)}
    found = {**bleu, "mlcd_bleu_mean": sample["score"]}
    return found if sample["is_right"] is None else {**found, "yes_no_accuracy": sample["is_right"]}


@cache
def _videos() -> dict[int, tuple[bytes, ...]]:
    """The shown frames of every video, as JPEG: some 160 MB for the published validation set."""
    root = path_from_environment(VARIABLE, "RoboVQA's tfrecords")
    return {video.number: video.frames[::EVERY] for video in read_robovqa(root)}
