"""Writes conversations and test questions as LLaVA's JSON with the pictures beside it.

    captions.json  train.json  testA.json  testB.json  about.json
    captions/  train/  testA/  testB/        the pictures

An item is what LLaVA reads; beside that a training item names the kind of each of its turns, and a
test item its kind, its row, what is accepted, and the pair that it is one of.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from mlcd.core.files import write_text
from mlcd.core.images import Image as Picture
from mlcd.playroom.blind import blind_accuracy
from mlcd.playroom.conversations import SIZE, Conversation, Curriculum, caption, conversation
from mlcd.playroom.question_tests import Task, ask, tasks, test_rows
from mlcd.playroom.set_files import all_done, save_picture

ABOUT = "about.json"
BlindTable = dict[str, dict[str, dict[str, float]]]
"""Row -> baseline -> kind -> accuracy."""
Items = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversationSet:
    """What is written; the same settings give the same files."""

    count: int = 5000
    """Conversations to learn from."""
    captions: int = 2000
    """Pictures with a sentence about each, to align a projector with."""
    per_kind: int = 100
    """Test questions of each kind in each of the three rows."""
    seed: int = 0
    size: int = SIZE
    """Pixels of a picture's shorter side."""
    curriculum: Curriculum = field(default_factory=Curriculum)


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """Pictures of each file, and what answers get that look at none of them."""

    pictures: dict[str, int]
    blind: BlindTable


def write_conversations(
    root: Path,
    settings: ConversationSet = ConversationSet(),
    *,
    workers: int = 1,
    on_picture: Callable[[int, int], None] | None = None,
) -> Written:
    """Write the set into `root`, with `workers` processes; about.json comes last.

    A folder without about.json was interrupted and is written anew. `on_picture(done, total)`
    reports. ValueError when the set is already there.
    """
    if (root / ABOUT).exists():
        raise ValueError(f"{root} holds a set already; remove it or choose another folder")
    wanted = tasks(settings.per_kind)
    total = settings.captions + settings.count + len(wanted)
    items: dict[str, Items] = {"captions": [], "train": [], "testA": [], "testB": []}
    for name in items:
        (root / name).mkdir(parents=True, exist_ok=True)
    jobs: list[Callable[[], list[tuple[str, dict[str, Any]]]]] = [
        *(partial(_caption_item, root, settings, index) for index in range(settings.captions)),
        *(partial(_training_item, root, settings, index) for index in range(settings.count)),
        *(partial(_test_items, root, settings, task) for task in wanted),
    ]
    for done, made in enumerate(all_done(jobs, workers), start=1):
        for name, item in made:
            items[name].append(item)
        if on_picture is not None:
            on_picture(done, total)
    for name, listed in items.items():
        write_text(root / f"{name}.json", json.dumps(listed, indent=1, ensure_ascii=False) + "\n")
    blind = {
        row.row: blind_accuracy(
            items["train"], [item for item in items[row.test] if item["row"] == row.row]
        )
        for row in test_rows()
    }
    written = Written(pictures={name: len(listed) for name, listed in items.items()}, blind=blind)
    write_text(
        root / ABOUT, json.dumps({"settings": asdict(settings), **asdict(written)}, indent=1) + "\n"
    )
    return written


def _caption_item(
    root: Path, settings: ConversationSet, index: int
) -> list[tuple[str, dict[str, Any]]]:
    made = caption(settings.seed, index, size=settings.size, curriculum=settings.curriculum)
    return [("captions", _item(root, f"captions/{index:07d}", made))]


def _training_item(
    root: Path, settings: ConversationSet, index: int
) -> list[tuple[str, dict[str, Any]]]:
    made = conversation(settings.seed, index, size=settings.size, curriculum=settings.curriculum)
    item = _item(root, f"train/{index:07d}", made)
    item["kinds"] = [turn.kind for turn in made.turns]
    item["sorts"] = [turn.sort for turn in made.turns]
    return [("train", item)]


def _test_items(
    root: Path, settings: ConversationSet, task: Task
) -> list[tuple[str, dict[str, Any]]]:
    row = test_rows()[task.row]
    items: list[tuple[str, dict[str, Any]]] = []
    for asked in ask(task, seed=settings.seed, size=settings.size):
        question = asked.question
        item = {
            "id": asked.id,
            "image": _save(root, f"{row.test}/{asked.id}", asked.image),
            "conversations": _turns([(asked.text, question.answer)]),
            "row": asked.row,
            "kind": question.kind,
            "sort": question.sort,
            "answer": question.answer,
            "accepted": list(question.accepted),
            "pair": asked.pair,
            "size": question.size,
        }
        items.append((row.test, item))
    return items


def _item(root: Path, name: str, made: Conversation) -> dict[str, Any]:
    return {
        "id": name.replace("/", "-"),
        "image": _save(root, name, made.image),
        "conversations": _turns([(turn.question, turn.answer) for turn in made.turns]),
    }


def _turns(asked: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """LLaVA's turns; the picture stands before the first question."""
    turns = chain.from_iterable(
        ({"from": "human", "value": question}, {"from": "gpt", "value": answer})
        for question, answer in asked
    )
    first, *others = turns
    return [{**first, "value": f"<image>\n{first['value']}"}, *others]


def _save(root: Path, name: str, picture: Picture) -> str:
    """Write the picture; its path below the root."""
    path = f"{name}.jpg"
    save_picture(picture, root / path)
    return path
