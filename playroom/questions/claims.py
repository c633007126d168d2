"""Questions with yes or no for an answer.

A claim is made of words alone, so that the same words can be held against two pictures: true in
one and false in the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from mlcd.playroom.named_scenes import STATES
from mlcd.playroom.names import Name, name_of
from mlcd.playroom.questions.question import OWN_COLOURS, Combination, Link, Question, Reference
from mlcd.playroom.questions.references import by_name
from mlcd.playroom.questions.relating import SIDE_WORDS, pair_links
from mlcd.playroom.relations import OPPOSITE, SIDES, Sight, side_of
from mlcd.playroom.tints import NAMED_COLOURS

Claim = Literal["present", "present colour", "colour", "state", "side"]
CLAIMS: tuple[Claim, ...] = ("present", "present colour", "colour", "state", "side")
Words = tuple[str, ...]
"""Of a claim: a name or a colour; a name and its colour or state; a name, a side, a name."""


def claim_questions(
    sight: Sight, names: Sequence[Name], random: np.random.Generator
) -> list[Question]:
    """Claims about the picture, true and false ones."""
    questions = [
        judge(sight, claim, words)
        for claim in CLAIMS
        for words in possible_claims(sight, claim, names, random)
    ]
    return [question for question in questions if question is not None]


def judge(sight: Sight, claim: Claim, words: Words) -> Question | None:
    """The claim with its answer; None where the picture leaves room for doubt."""
    if claim == "present":
        return _judge_presence(sight, words[0])
    if claim == "present colour":
        if sight.scene.is_natural:
            return None
        return _question(
            "yes_no present",
            claim,
            any(thing.named.colour == words[0] for thing in sight.things),
            {"something": f"{_article(words[0])} {words[0]} thing"},
            fresh=words,
        )
    thing = by_name(sight, words[0])
    if thing is None:
        return None
    ref = Reference(form="name", thing=thing, words={"name": words[0]}, attribute="name")
    if claim == "side":
        other = by_name(sight, words[2])
        if other is None:
            return None
        side = side_of(thing, other, sight.scene.shape)
        asked = next(side for side in SIDES if side == words[1])
        if side not in (asked, OPPOSITE[asked]):
            return None
        return _question(
            "yes_no claim",
            claim,
            side == asked,
            {"claim": f"{SIDE_WORDS[asked]} the {words[2]}"},
            thing=ref,
            combination=(words[0], words[2], asked),
            links=pair_links(thing, other),
        )
    found = thing.named.colour if claim == "colour" else thing.named.state
    if found is None:
        return None
    return _question(
        "yes_no claim",
        claim,
        found == words[1],
        {"claim": words[1]},
        thing=ref,
        combination=(words[0], OWN_COLOURS, words[1]),
        links=(Link(index=thing.index, attributes=frozenset({"name", claim})),),
    )


def _judge_presence(sight: Sight, text: str) -> Question | None:
    name = name_of(text)
    same = [thing for thing in sight.things if thing.named.name == name]
    if not all(thing.is_nameable for thing in sight.things):
        return None  # what is too small to recognise could be anything
    if any(thing.named.name.text in name.lookalikes for thing in sight.things):
        return None
    return _question(
        "yes_no present",
        "present",
        bool(same),
        {"something": f"{_article(text)} {text}"},
        combination=(text, OWN_COLOURS, "present"),
        links=tuple(
            Link(index=thing.index, attributes=frozenset({"name", "present"})) for thing in same
        ),
        fresh=(text,),
    )


def possible_claims(
    sight: Sight, claim: Claim, names: Sequence[Name], random: np.random.Generator
) -> list[Words]:
    """Words of claims of one sort that are worth judging in this picture."""
    here = [thing.named.name.text for thing in sight.things]
    if claim == "present":
        absent = [names[int(i)].text for i in random.integers(len(names), size=4)]
        return [(name,) for name in dict.fromkeys([*here, *absent])]
    if claim == "present colour":
        return [(colour,) for colour in NAMED_COLOURS]
    if claim == "side":
        return [(a, side, b) for a in here for b in here if a != b for side in SIDES]
    values = NAMED_COLOURS if claim == "colour" else STATES
    return [(name, value) for name in here for value in values]


def _question(
    form: str,
    claim: Claim,
    is_true: bool,
    words: dict[str, str],
    *,
    thing: Reference | None = None,
    combination: Combination | None = None,
    links: tuple[Link, ...] = (),
    fresh: tuple[str, ...] = (),
) -> Question:
    return Question(
        kind="yes_no",
        form=form,
        sort=claim,
        answer="yes" if is_true else "no",
        words=words,
        thing=thing,
        combination=combination,
        links=links,
        fresh=fresh,
        size=thing.thing.named.placed.size if thing else None,
    )


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
