"""RoboVQA (Sermanet et al., 2023): short videos of a robot at work, each with several questions.

A set is tfrecord files of SequenceExamples with the lists `images` (JPEG) and `texts` (one text).
A text is blocks, each headed by the tag of its task:

    <task:success:discrete:False>
    put packet on the table Q: satisfied? <PRED>A: <PRED:ANSWER>...no...</PRED:ANSWER></PRED>

Source: data_loading_and_eval.ipynb of google-deepmind/robovqa, for the tags and the split at "A:".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlcd.core.datasets.sequence_example import build_sequence_example, parse_sequence_example
from mlcd.core.datasets.tfrecord import read_records

_TASK = re.compile(r"(<task[:\w]*>)", re.IGNORECASE)
_TAG = re.compile(r"</*\w[:\w]*>")

FAMILIES: dict[str, str] = {
    "planning": r"planning:",
    "planning with context": r"planning_with_context\d*:",
    "planning remaining steps": r"remaining\d*_planning",
    "immediate next step": r"immediate_planning",
    "success": r"success:",
    "discriminative affordance": r"affordance:discriminative:",
    "generative affordance": r"affordance:generative:",
    "past description": r"past_",
    "future prediction": r"future_",
}
"""The nine families, each with how the names of its tasks begin."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RoboVqaQuestion:
    """One question about one video."""

    id: str
    task: str
    """As in its tag: `success:discrete:False`."""
    family: str
    text: str
    """What stands before the answer: what it is about, then "Q:" and the question."""
    answer: str

    @property
    def is_binary(self) -> bool:
        """Whether yes or no is the answer."""
        return self.answer.strip().lower() in ("yes", "no")


@dataclass(frozen=True, kw_only=True, slots=True)
class RoboVqaVideo:
    """One record: frames as JPEG, in order, and the questions about them."""

    number: int
    """From 0, over all files in the order of their names."""
    frames: tuple[bytes, ...]
    questions: tuple[RoboVqaQuestion, ...]


def read_robovqa(root: str | Path) -> Iterator[RoboVqaVideo]:
    """Every video below `root`, a tfrecord file or a folder of them, one at a time in memory.

    ValueError naming the file: none there, one that is damaged or cut short, a record without
    images or texts, a task of no known family, a question without an answer.
    """
    number = 0
    for path in tfrecord_files(root):
        for position, record in enumerate(read_records(path)):
            where = f"{path}: record {position}"
            try:
                lists = parse_sequence_example(record)
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
            frames, texts = lists.get("images"), lists.get("texts")
            if not frames or not texts:
                raise ValueError(
                    f"{where}: expected the lists images and texts, found "
                    f"{', '.join(sorted(lists)) or 'none'}; is this RoboVQA's tfrecord?"
                )
            text = texts[0].decode("utf-8", errors="strict")
            questions = parse_tasks(text, prefix=f"{number:06d}", where=where)
            yield RoboVqaVideo(number=number, frames=tuple(frames), questions=tuple(questions))
            number += 1


def tfrecord_files(root: str | Path) -> list[Path]:
    """`root` itself when it is a file, or the files in the folder, by name. ValueError if none."""
    root = Path(root)
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise ValueError(f"{root}: expected a tfrecord file or a folder of them; not there")
    found = sorted(
        path for path in root.iterdir() if path.is_file() and not path.name.startswith(".")
    )
    if not found:
        raise ValueError(
            f"{root}: no file in it; expected RoboVQA's tfrecords, as in its tfrecord/val"
        )
    return found


def parse_tasks(text: str, *, prefix: str, where: str) -> list[RoboVqaQuestion]:
    """The questions of a record's text, in its order; ids are `prefix` and a number.

    ValueError beginning with `where`: no task in it, an unknown family, no answer.
    """
    blocks = _TASK.split(text)[1:]  # what stands before the first tag belongs to no task
    found: list[RoboVqaQuestion] = []
    for tag, block in zip(blocks[0::2], blocks[1::2], strict=True):
        if not block.strip():
            continue
        task = tag[1:-1].partition(":")[2]
        question, separator, answer = _TAG.sub("", block).partition("A:")
        if not separator or not answer.strip():
            raise ValueError(f"{where}: {tag}: expected an answer after 'A:', got {block[:80]!r}")
        found.append(
            RoboVqaQuestion(
                id=f"{prefix}-{len(found):02d}",
                task=task,
                family=family_of(task, where=where),
                text=question.strip(),
                answer=answer.strip(),
            )
        )
    if not found:
        raise ValueError(f"{where}: no <task:...> in its text {text[:80]!r}")
    return found


def family_of(task: str, *, where: str = "RoboVQA") -> str:
    """Which of the nine families a task is of. ValueError, beginning with `where`, for another."""
    for family, beginning in FAMILIES.items():
        if re.match(beginning, task, re.IGNORECASE):
            return family
    raise ValueError(f"{where}: the task {task!r} is of none of the families {', '.join(FAMILIES)}")


def rewrite_question(text: str) -> str:
    """The question as MLCD-Embodied was asked: terse forms become sentences.

    Source: data_robo.py and make_robovqa_bmk.py of MLCD's repository.
    """
    for terse, sentence in _REWRITTEN.items():
        text = text.replace(terse, sentence)
    return text


_REWRITTEN = {
    "Q: immediate next step": ". what is the immediate next step",
    "Q: next 5 step": ". what are the next 5 step",
    "Q: satisfied": ". is it satisfied",
    "Q: possible right now": ". is it possible right now",
}


def build_record(frames: Sequence[bytes], tasks: Sequence[tuple[str, str, str]]) -> bytes:
    """A record of JPEG frames and (task, question, answer) triples, as the published ones are."""
    for task, _, _ in tasks:
        family_of(task)
    text = "".join(
        f"<task:{task}>\n{question} <PRED>A: {_marked(answer)}\n</PRED>"
        for task, question, answer in tasks
    )
    return build_sequence_example({"images": list(frames), "texts": [text.encode()]})


def _marked(answer: str) -> str:
    if answer not in ("yes", "no"):
        return answer
    inner = f"<PRED:BINARY>{answer}</PRED:BINARY>"
    return f"<PRED:ANSWER><PRED:DISCRETE>{inner}</PRED:DISCRETE></PRED:ANSWER>"
