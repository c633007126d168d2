"""What a model of the embedded world has learned, beside what it gets without seeing.

Four measurements of each test: with the pictures; with the pictures of other questions; with none;
and with the base tile alone, to see what the other tiles are good for. What answers get that know
the training questions and see nothing stands in the set's own about.json.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mlcd.apps.embodied.picture_questions import PictureQuestion, Shown
from mlcd.apps.embodied.playroom_questions import evaluate_questions
from mlcd.core.checkpoint import weights_digest
from mlcd.core.language.generation import generate_batch
from mlcd.core.language.generation_settings import GenerationSettings
from mlcd.core.language.loading import load_vlm
from mlcd.core.language.messages import Message
from mlcd.core.language.vlm import VisionLanguageModel
from mlcd.core.results import Result
from mlcd.playroom.conversation_files import ABOUT, ConversationSet, write_conversations
from mlcd.playroom.questions import KINDS

_MOST_WORDS = 12
"""Tokens of an answer at most: the longest right one has fewer."""
_TESTS = ("testA", "testB")
_SHOWN: tuple[Shown, ...] = ("own", "shuffled", "none")
BASE_TILE = "base-tile"


def measure_embodied(
    model: Path,
    output: Path,
    *,
    per_kind: int = 100,
    num_training: int = 1500,
    seed: int = 1,
    progress: Callable[[str, int, int], None] = lambda _name, _done, _total: None,
) -> dict[str, Result]:
    """The results of all measurements by name, `testA-own` and so on, each in a folder of `output`.

    The questions are written into `output/questions` when they are not there, with `num_training`
    conversations that the blind baselines learn from. What was measured is not measured again.
    `progress` is told the name of the measurement, what is done, and all.
    """
    questions = output / "questions"
    if not (questions / ABOUT).exists():
        settings = ConversationSet(count=num_training, captions=0, per_kind=per_kind, seed=seed)
        write_conversations(questions, settings)
    vlm = load_vlm(model)
    base = _with_base_tile(vlm)
    digest = weights_digest(vlm.state_dict())
    found: dict[str, Result] = {}
    for test in _TESTS:
        runs: list[tuple[str, VisionLanguageModel, Shown]] = [(s, vlm, s) for s in _SHOWN]
        for kind, own, shown in [*runs, (BASE_TILE, base, "own")]:
            name = f"{test}-{kind}"
            found[name] = evaluate_questions(
                questions / f"{test}.json",
                lambda asked, own=own: answers(own, asked),  # type: ignore[misc]
                output / name,
                model=str(model),
                weights_sha256=digest,
                shown=shown,
                settings={"image_layout": own.config.image_layout},
                progress=lambda done, total, name=name: progress(name, done, total),  # type: ignore[misc]
            )
    return found


def answers(vlm: VisionLanguageModel, questions: Sequence[PictureQuestion]) -> list[str]:
    """A greedy answer to each question."""
    return generate_batch(
        vlm,
        [_asked(question) for question in questions],
        settings=GenerationSettings(max_new_tokens=_MOST_WORDS),
    )


def _asked(question: PictureQuestion) -> list[Message]:
    text = {"type": "text", "text": question.text}
    if question.image is None:
        return [{"role": "user", "content": [text]}]
    return [{"role": "user", "content": [{"type": "image", "image": question.image}, text]}]


def _with_base_tile(vlm: VisionLanguageModel) -> VisionLanguageModel:
    """The same weights, looking at each picture as one tile."""
    config = replace(vlm.config, image_layout="square", pinpoints=(), max_tiles=None)
    made = VisionLanguageModel(config)
    made.load_state_dict(vlm.state_dict())
    made.tokenizer, made.name = vlm.tokenizer, f"{vlm.name}, base tile alone"
    return made.eval()


def summary(results: Mapping[str, Result]) -> list[str]:
    """The numbers that the goals are about, a line each."""
    lines: list[str] = []
    for test in _TESTS:
        own, *others = (results[f"{test}-{name}"].metrics for name in (*_SHOWN, BASE_TILE))
        shuffled, none, base = others
        kinds = {kind: own[kind] for kind in KINDS if kind in own}
        worst = min(kinds, key=lambda kind: kinds[kind])
        lines.append(
            f"{test}: mean over kinds {own['mean']:.1%}; others' pictures {shuffled['mean']:.1%}, "
            f"no picture {none['mean']:.1%}; worst kind {worst} {kinds[worst]:.1%}"
        )
        small = "small things"
        if small in own and small in base:
            lines.append(f"{test}: {small} {own[small]:.1%}, base tile alone {base[small]:.1%}")
    return lines
