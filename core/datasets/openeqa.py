"""OpenEQA (Majumdar et al., CVPR 2024), its memory part: questions about walks through rooms.

open-eqa-v0.json                      a list of questions, each with its episode
frames/<episode>/00000-rgb.png ...    the walk; depths and poses beside them are not read
<predictions>.json                    [{"question_id": ..., "answer": ...}, ...]
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mlcd.core.files import write_text

CATEGORIES = (
    "object localization",
    "object state recognition",
    "attribute recognition",
    "object recognition",
    "spatial understanding",
    "functional reasoning",
    "world knowledge",
)
SUFFIX = "-rgb.png"
FrameRule = Literal["official", "mlcd"]
"""`official`: evenly from the first frame to the last. `mlcd`: as MLCD's evaluation took them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenEqaQuestion:
    """One question about one episode."""

    id: str
    text: str
    answer: str
    extra_answers: tuple[str, ...]
    """Other right answers; published for the questions of localization."""
    category: str
    episode: str
    """The folder of its frames: `hm3d-v0/000-hm3d-BFRyYbPCCPE`."""

    @property
    def source(self) -> str:
        """Where the episode was recorded: `hm3d-v0`, `scannet-v0`."""
        return self.episode.partition("/")[0]


def read_openeqa(file: str | Path) -> list[OpenEqaQuestion]:
    """The questions of a file, in its order.

    ValueError naming the item: no list, something missing, a category that is none of the seven,
    an id that comes twice, an episode outside of the folder of frames.
    """
    items = _json_list(Path(file))
    found: list[OpenEqaQuestion] = []
    seen: set[str] = set()
    for number, item in enumerate(items):
        question = _read_question(item, f"{file}: item {number}")
        if question.id in seen:
            raise ValueError(f"{file}: item {number}: the id {question.id!r} comes twice")
        seen.add(question.id)
        found.append(question)
    if not found:
        raise ValueError(f"{file}: no question in it")
    return found


def write_openeqa(file: str | Path, questions: Iterable[OpenEqaQuestion]) -> None:
    """Write questions as the official file has them."""
    items = [
        {
            "question": question.text,
            "answer": question.answer,
            "category": question.category,
            "question_id": question.id,
            "episode_history": question.episode,
        }
        | ({"extra_answers": list(question.extra_answers)} if question.extra_answers else {})
        for question in questions
    ]
    write_text(file, json.dumps(items, indent=2) + "\n")


def episode_frames(root: str | Path, episode: str, *, allow_gaps: bool = False) -> list[Path]:
    """The frames of an episode below `root`, in their order.

    ValueError: no such folder, no frame in it, names whose order is not that of their numbers
    (10 before 9), or numbers with a gap, unless `allow_gaps`. Names without numbers have an order
    but cannot show a gap.
    """
    folder = Path(root) / episode
    if not folder.is_dir():
        raise ValueError(
            f"{folder}: no such folder; expected the episode's frames there, as the folder of "
            f"frames holds one folder for each episode"
        )
    frames = sorted(folder.glob(f"*{SUFFIX}"))
    if not frames:
        raise ValueError(f"{folder}: no frame in it; looked for names ending in {SUFFIX}")
    check_frame_order(frames, allow_gaps=allow_gaps)
    return frames


def check_frame_order(frames: Sequence[Path], *, allow_gaps: bool = False) -> None:
    """ValueError when frames, sorted by name, are not in the order of their numbers (10 before 9),
    or have a gap, unless `allow_gaps`. Names without numbers pass.
    """
    stems = [path.name.removesuffix(SUFFIX).removesuffix(path.suffix) for path in frames]
    matches = [re.search(r"(\d+)\D*$", stem) for stem in stems]
    numbers = [int(match[1]) for match in matches if match]
    if len(numbers) < len(frames) or len(frames) < 2:
        return
    steps = [after - before for before, after in pairwise(numbers)]
    if min(steps) <= 0:
        place = next(place for place, step in enumerate(steps) if step <= 0)
        raise ValueError(
            f"{frames[place].parent}: {frames[place].name} comes before {frames[place + 1].name} "
            "by name and not by number; rename the frames so that all numbers have as many digits"
        )
    if max(steps) > min(steps) and not allow_gaps:
        place = next(place for place, step in enumerate(steps) if step > min(steps))
        raise ValueError(
            f"{frames[place].parent}: frames are missing between {frames[place].name} and "
            f"{frames[place + 1].name}; extract the episode again, or allow gaps"
        )


def sample_frames(total: int, count: int, rule: FrameRule = "official") -> list[int]:
    """Which of `total` frames are shown, at most `count`, in order and none twice.

    `official` goes evenly from the first to the last, as OpenEQA's baselines do; of one frame it
    takes the last. `mlcd` takes the first `count` of every (total // count)-th, so that it loses
    the end of most episodes.
    """
    if total < 1 or count < 1:
        raise ValueError(f"expected at least one frame of at least one, got {count} of {total}")
    if rule == "mlcd":
        return list(range(0, total, max(1, total // count)))[:count]
    if count == 1:
        return [total - 1]
    return sorted({int(number) for number in np.round(np.linspace(0, total - 1, count))})


def questions_sha256(questions: Sequence[OpenEqaQuestion]) -> str:
    """SHA-256 of all that is asked and accepted."""
    digest = hashlib.sha256()
    for question in questions:
        said = [question.id, question.text, question.category, question.episode, question.answer]
        digest.update(json.dumps([*said, *question.extra_answers]).encode())
    return digest.hexdigest()


def read_predictions(file: str | Path) -> dict[str, str | None]:
    """Answers by question, from an official prediction file; None where there was none.

    ValueError naming the item when it is no prediction, or a question is answered twice.
    """
    found: dict[str, str | None] = {}
    for number, item in enumerate(_json_list(Path(file))):
        where = f"{file}: item {number}"
        if not isinstance(item, Mapping) or not {"question_id", "answer"} <= set(item):
            raise ValueError(f"{where}: expected question_id and answer, got {item!r:.80}")
        name, answer = item["question_id"], item["answer"]
        if not isinstance(name, str) or not isinstance(answer, str | None):
            raise ValueError(f"{where}: expected two texts, got {item!r:.80}")
        if name in found:
            raise ValueError(f"{where}: question {name!r} is answered twice; keep one of the two")
        found[name] = answer
    return found


def write_predictions(file: str | Path, predictions: Mapping[str, str | None]) -> None:
    """Write an official prediction file."""
    items = [{"question_id": name, "answer": answer} for name, answer in predictions.items()]
    write_text(file, json.dumps(items, indent=2) + "\n")


def _json_list(path: Path) -> list[Any]:
    try:
        items = json.loads(path.read_bytes())
    except ValueError as error:  # also bytes that are no UTF-8
        raise ValueError(f"{path}: no JSON, or cut short: {error}") from error
    if not isinstance(items, list):
        raise ValueError(f"{path}: expected a list, got {type(items).__name__}")
    return items


def _read_question(item: Any, where: str) -> OpenEqaQuestion:
    keys = ("question_id", "question", "answer", "category", "episode_history")
    if not isinstance(item, Mapping) or not all(isinstance(item.get(key), str) for key in keys):
        raise ValueError(f"{where}: expected texts as {', '.join(keys)}, got {item!r:.80}")
    if item["category"] not in CATEGORIES:
        raise ValueError(
            f"{where}: unknown category {item['category']!r}; the categories are "
            f"{', '.join(CATEGORIES)}"
        )
    place = Path(item["episode_history"])
    if place.is_absolute() or ".." in place.parts:
        raise ValueError(
            f"{where}: expected an episode inside of the folder of frames, got {str(place)!r}"
        )
    return OpenEqaQuestion(
        id=item["question_id"],
        text=item["question"],
        answer=item["answer"],
        extra_answers=tuple(map(str, item.get("extra_answers") or ())),
        category=item["category"],
        episode=item["episode_history"],
    )
