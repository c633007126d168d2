"""What each question of a test has to be, so that every answer comes up equally often.

A target knows which things its scene needs: waiting for them to come by chance would take long.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from mlcd.playroom.named_scenes import STATES, NamedScene, NamedScenes, Wish
from mlcd.playroom.names import Name, all_uses, categories
from mlcd.playroom.questions import Kind, Question
from mlcd.playroom.questions.counting import MOST_COUNTED
from mlcd.playroom.questions.question import OWN_COLOURS
from mlcd.playroom.relations import PLACES, SIDES, Sight, see
from mlcd.playroom.tints import NAMED_COLOURS
from mlcd.playroom.wordings import belongs_to

Item = TypeVar("Item")
_TRIES = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What a question has to be, and what has to be in the scene for that."""

    sort: str = ""
    answer: str | None = None
    purpose: str | None = None
    place: str | None = None
    """Where one thing has to be about whose place a test may ask."""
    wishes: tuple[Wish, ...] = ()
    num_things: int | None = None
    needs_colours: bool = False
    in_vain: tuple[Name, ...] = ()
    """Names that may be asked for although they are not there; all when empty."""

    def draw(self, scenes: NamedScenes, random: np.random.Generator, size: int) -> Sight:
        """A scene that may answer it; ValueError when none is found."""
        if self.num_things is not None:
            scenes = replace(scenes, least=self.num_things, most=self.num_things)
        if self.needs_colours:
            scenes = replace(scenes, natural_share=0.0)
        for _ in range(_TRIES):
            scene = scenes.draw(random, self.wishes)
            if scene is not None and (self.place is None or _may_ask_for(self.place, scene)):
                sight = see(scene, size)
                if sight is not None:
                    return sight
        raise ValueError(f"no scene of {_TRIES} fits {self}")

    def is_met_by(self, question: Question) -> bool:
        """Whether the question is one that was wanted."""
        return (
            question.sort == self.sort
            and self.answer in (None, question.answer)
            and self.purpose in (None, question.words.get("purpose"))
            and belongs_to(question.combination, "test")
        )


def target_of(
    kind: Kind, number: int, names: Sequence[Name], random: np.random.Generator
) -> Target:
    """What the `number`-th question of a kind has to be: answers come up in turn."""
    if kind == "name":
        name = names[number % len(names)]
        return Target(answer=name.text, wishes=(Wish(name=name),))
    if kind == "category":
        category, turn = _in_turn(list(categories()), number)
        member, _ = _in_turn([name for name in names if name.category == category], turn)
        return Target(answer=category, wishes=(Wish(name=member),))
    if kind == "colour":
        colour, turn = _in_turn(list(NAMED_COLOURS), number)
        return Target(answer=colour, wishes=(Wish(name=names[turn % len(names)], colour=colour),))
    if kind == "use":
        return _use(number, names, random)
    if kind == "state":
        state, turn = _in_turn(STATES, number)
        wishes = [
            Wish(name=name, colour=colour, state=state)
            for name in names
            if name.has_upright
            for colour in _tested_colours(name, state)
        ]
        return Target(answer=state, wishes=(_any(wishes, random),))
    if kind == "place":
        place, _ = _in_turn(PLACES, number)
        return Target(answer=place, place=place)
    if kind == "relation":
        sort, turn = _in_turn(("side", "which", "depth"), number)
        if sort == "which":
            return Target(sort=sort)
        answer, _ = _in_turn(SIDES if sort == "side" else ("in front", "behind"), turn)
        return Target(sort=sort, answer=answer)
    if kind == "count":
        return _count(number, names, random)
    raise ValueError(f"questions of {kind} have no target: they come in pairs")


def _use(number: int, names: Sequence[Name], random: np.random.Generator) -> Target:
    """A purpose for which the tests may ask for several of the names, and one of those."""
    by_text = {name.text: name for name in names}
    choices: list[tuple[str, list[list[Wish]]]] = []
    for use in all_uses():
        wishes = [
            [Wish(name=by_text[text], colour=colour) for colour in colours]
            for text in use.names
            if text in by_text and (colours := _tested_colours(by_text[text], use.purpose))
        ]
        if len(wishes) > 1:
            choices.append((use.purpose, wishes))
    (purpose, wishes), turn = _in_turn(choices, number)
    wished, _ = _in_turn(wishes, turn)
    return Target(purpose=purpose, wishes=(_any(wished, random),))


def _count(number: int, names: Sequence[Name], random: np.random.Generator) -> Target:
    sort, turn = _in_turn(("all", "colour", "category", "name"), number)
    if sort == "all":
        answer, _ = _in_turn(range(3, 9), turn)
        return Target(sort=sort, answer=str(answer), num_things=answer)
    answer, _ = _in_turn(range(MOST_COUNTED + 1), turn)
    if sort == "name":
        name = _any(
            [n for n in names if belongs_to((n.text, OWN_COLOURS, "count"), "test")], random
        )
        wishes = (Wish(name=name),) * answer
        return Target(sort=sort, answer=str(answer), wishes=wishes, in_vain=(name,))
    colour = _any(list(NAMED_COLOURS), random) if sort == "colour" else None
    category = _any(list(categories()), random) if sort == "category" else None
    chosen: list[Name] = []
    for index in random.permutation(len(names)):
        name = names[int(index)]
        clashes = any(name.text in other.lookalikes for other in chosen)
        if len(chosen) < answer and category in (None, name.category) and not clashes:
            chosen.append(name)
    return Target(
        sort=sort,
        answer=str(answer),
        wishes=tuple(Wish(name=name, colour=colour) for name in chosen),
        needs_colours=sort == "colour",
    )


def _may_ask_for(place: str, scene: NamedScene) -> bool:
    """Whether a thing is about there whose place belongs to the tests."""
    row, column = divmod(PLACES.index(place), 3)
    return any(
        (int(3 * thing.placed.center[1]), int(3 * thing.placed.center[0])) == (row, column)
        and belongs_to((thing.name.text, thing.colour or OWN_COLOURS, place), "test")
        for thing in scene.things
    )


def _tested_colours(name: Name, relation: str) -> list[str]:
    return [c for c in NAMED_COLOURS if belongs_to((name.text, c, relation), "test")]


def _in_turn(items: Sequence[Item], number: int) -> tuple[Item, int]:
    """The item whose turn it is, and how often all have had theirs."""
    return items[number % len(items)], number // len(items)


def _any(items: Iterable[Item], random: np.random.Generator) -> Item:
    listed = list(items)
    return listed[int(random.integers(len(listed)))]
