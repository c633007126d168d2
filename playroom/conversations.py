"""Conversations about pictures of the embedded world, to learn from: as many as one wants.

Conversation `index` is a pure function of the seed and its number. Training sees one art style, and
asks with the wordings and the combinations of names, colours and relations that are for training.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlcd.core.images import Image
from mlcd.playroom.named_scenes import NamedScenes, Wish
from mlcd.playroom.names import all_names
from mlcd.playroom.questions import KINDS, Kind, Question, questions_of_kind
from mlcd.playroom.questions.question import combination_of
from mlcd.playroom.relations import Sight, see
from mlcd.playroom.things import Style
from mlcd.playroom.wordings import belongs_to, caption_request, put_into_words

TRAINING_STYLE: Style = "noto"
SIZE = 192
"""Pixels of a picture's shorter side."""

_TRAIN_STREAM, _CAPTION_STREAM = 0, 1
_TRIES = 200


class Turn(NamedTuple):
    """A question and its answer."""

    question: str
    answer: str
    kind: str
    sort: str = ""
    """What is balanced on its own within the kind."""


class Conversation(NamedTuple):
    """A picture, RGB uint8 (H, W, 3), and what is said about it."""

    image: Image
    turns: tuple[Turn, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Curriculum:
    """Single things first, then more and more of them, in the order of the conversations."""

    num_single: int = 0
    """Conversations about one thing alone."""
    num_growing: int = 0
    """Conversations after those, over which the most things of a scene grow from two to eight."""

    def scenes(self, index: int) -> NamedScenes:
        """What the scene of a conversation is drawn from."""
        least, most = 3, 8
        if index < self.num_single:
            least = most = 1
        elif index < self.num_single + self.num_growing:
            most = 2 + 7 * (index - self.num_single) // self.num_growing
            least = min(least, most)
        return NamedScenes(style=TRAINING_STYLE, names=all_names(), least=least, most=most)


def conversation(
    seed: int,
    index: int,
    *,
    size: int = SIZE,
    most_turns: int = 6,
    curriculum: Curriculum = Curriculum(),
    weights: Mapping[Kind, float] | None = None,
    caption_share: float = 0.0,
) -> Conversation:
    """Picture `index` with up to `most_turns` questions, each of another kind.

    No answer can be read off the turns before it. `weights`: how often each kind comes up, 1 where
    nothing else is said. A share of the conversations ends with all that can be named.
    """
    random = np.random.default_rng((seed, _TRAIN_STREAM, index))
    sight = draw_sight(curriculum.scenes(index), random, size)
    chances = np.asarray([(weights or {}).get(kind, 1.0) for kind in KINDS])
    order = random.choice(
        len(KINDS), int((chances > 0).sum()), replace=False, p=chances / chances.sum()
    )
    turns: list[Turn] = []
    said = _Said()
    for number in order:
        kind = KINDS[int(number)]
        questions = [
            question
            for question in questions_of_kind(kind, sight, all_names(), random)
            if belongs_to(question.combination, "train") and not said.gives_away(question)
        ]
        if questions and len(turns) < most_turns:
            question = any_question(questions, random)
            said.add(question)
            text = put_into_words(question, "train", random)
            turns.append(Turn(text, question.answer, kind, question.sort))
    if random.random() < caption_share and (named := describe(sight)):
        turns.append(Turn(caption_request(random), named, "caption"))
    return Conversation(sight.image, tuple(turns))


def caption(
    seed: int, index: int, *, size: int = SIZE, curriculum: Curriculum = Curriculum()
) -> Conversation:
    """Picture `index` of another stream with all that can be named in it, for aligning a projector.

    "a red dog in the top left, a car in the middle": from left to right, row by row.
    """
    random = np.random.default_rng((seed, _CAPTION_STREAM, index))
    while True:
        sight = draw_sight(curriculum.scenes(index), random, size)
        if any(thing.is_nameable for thing in sight.things):
            return Conversation(
                sight.image, (Turn(caption_request(random), describe(sight), "caption"),)
            )


def describe(sight: Sight) -> str:
    """Names, colours and places of what is large enough to be named, row by row.

    What is kept for tests is left out: "a dog in the top left" for a red dog whose redness is.
    """
    said: list[str] = []
    for thing in sorted(sight.things, key=lambda thing: (int(3 * thing.center[1]), thing.center)):
        if not thing.is_nameable:
            continue
        words = thing.named.name.text
        if thing.named.colour and belongs_to(combination_of(thing, "colour"), "train"):
            words = f"{thing.named.colour} {words}"
        text = f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
        if thing.place and belongs_to(combination_of(thing, thing.place), "train"):
            text = f"{text} in the {thing.place}"
        said.append(text)
    return ", ".join(said)


def draw_sight(
    scenes: NamedScenes, random: np.random.Generator, size: int, wishes: Sequence[Wish] = ()
) -> Sight:
    """A random scene in which nothing is hidden too much, drawn."""
    for _ in range(_TRIES):
        scene = scenes.draw(random, wishes)
        sight = see(scene, size) if scene is not None else None
        if sight is not None:
            return sight
    raise ValueError(f"no scene of {_TRIES} has room for {', '.join(w.name.text for w in wishes)}")


def any_question(questions: Sequence[Question], random: np.random.Generator) -> Question:
    """One of the questions: first of what sort, then with which answer, then which of those."""
    left = list(questions)
    for key in (lambda q: (q.form, q.sort), lambda q: q.answer):
        groups: defaultdict[object, list[Question]] = defaultdict(list)
        for question in left:
            groups[key(question)].append(question)
        left = list(groups.values())[int(random.integers(len(groups)))]
    return left[int(random.integers(len(left)))]


class _Said:
    """What a conversation has already told about its picture."""

    def __init__(self) -> None:
        # That a thing is alone in its picture nobody has to be told.
        self._attributes: defaultdict[int, set[str]] = defaultdict(lambda: {"only"})
        self._words: set[str] = set()

    def gives_away(self, question: Question) -> bool:
        """Whether the answer follows from what was said."""
        return any(word in self._words for word in question.fresh) or any(
            link.attributes <= self._attributes[link.index] for link in question.links
        )

    def add(self, question: Question) -> None:
        for link in question.links:
            self._attributes[link.index] |= link.attributes
        self._words |= {question.answer, *question.words.values(), *question.fresh}
        for reference in filter(None, (question.thing, question.other)):
            self._words |= set(reference.words.values())
