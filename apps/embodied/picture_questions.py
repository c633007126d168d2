"""Questions about single pictures, with what is accepted as their answers, read from JSON.

The file is LLaVA's, one question an item, with `kind`, `answer` and `accepted` beside, and where
it has them `row`, `pair` and `size`, as `mlcd data playroom conversations` writes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

PLACEHOLDER = "<image>"
Shown = Literal["own", "shuffled", "none"]
"""Which picture is shown with a question."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureQuestion:
    """One question about one picture."""

    id: str
    image: Path | None
    text: str
    kind: str
    row: str
    """Which part of the test it belongs to."""
    answer: str
    accepted: tuple[str, ...]
    """Other right answers."""
    pair: str | None
    """Questions with the same one count once, when all are answered right."""
    size: float | None
    """Side of the thing that is asked about, as a share of the picture's shorter side."""


def read_questions(file: Path) -> list[PictureQuestion]:
    """The questions of a test file; pictures lie in its folder.

    ValueError, naming the item, when one is no such question or an id comes twice.
    """
    try:
        items = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is not JSON ({error}); write the set again") from error
    if not isinstance(items, list) or not items:
        raise ValueError(f"{file}: expected a list of questions, got {type(items).__name__}")
    questions = [_read(item, f"{file}: item {i}", file.parent) for i, item in enumerate(items)]
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise ValueError(f"{file}: the id {question.id!r} comes twice; ids must differ")
        seen.add(question.id)
    return questions


def questions_digest(questions: Sequence[PictureQuestion]) -> str:
    """SHA-256 of all that is asked, accepted and shown, to tell measurements apart."""
    digest = hashlib.sha256()
    for question in questions:
        picture = b"" if question.image is None else question.image.read_bytes()
        said = [question.id, question.text, question.kind, question.answer, *question.accepted]
        digest.update(json.dumps([*said, question.pair]).encode())
        digest.update(hashlib.sha256(picture).digest())
    return digest.hexdigest()


def with_pictures(
    questions: Sequence[PictureQuestion], shown: Shown, *, seed: int = 0
) -> list[PictureQuestion]:
    """The same questions with their own pictures, with each other's, or with none.

    What is right stays as it was: what a model gets with others' pictures it did not see.
    """
    if shown == "own":
        return list(questions)
    if shown == "none":
        return [replace(question, image=None) for question in questions]
    order = np.random.default_rng(seed).permutation(len(questions))
    other = {int(a): int(b) for a, b in zip(order, np.roll(order, 1), strict=True)}
    return [replace(q, image=questions[other[i]].image) for i, q in enumerate(questions)]


def _read(item: Any, where: str, folder: Path) -> PictureQuestion:
    if not isinstance(item, Mapping):
        raise ValueError(f"{where}: expected an object, got {type(item).__name__}")
    try:
        asked, _ = item["conversations"]
        return PictureQuestion(
            id=str(item["id"]),
            image=folder / item["image"],
            text=str(asked["value"]).replace(PLACEHOLDER, "", 1).strip(),
            kind=str(item["kind"]),
            row=str(item.get("row", "")),
            answer=str(item["answer"]),
            accepted=tuple(map(str, item["accepted"])),
            pair=item.get("pair"),
            size=item.get("size"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{where}: expected one question with id, image, kind, answer and accepted "
            f"({type(error).__name__}: {error})"
        ) from error
