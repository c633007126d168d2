"""OpenEQA's seven categories, asked of an episode: each question has one right answer that is seen.

Names are never the answer to a question that says them, and of a question with two answers both
come equally often, so that who sees nothing gets little.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np

from mlcd.playroom.episodes import Episode
from mlcd.playroom.names import all_uses, categories
from mlcd.playroom.plays import EventKind
from mlcd.playroom.questions.attributes import accepted_places, accepted_states
from mlcd.playroom.watching import Watched, Whereabouts, place_of

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight")
_BESIDE = 0.15
"""Least distance between two things, as a share of the frame, for left and right."""
_LARGER = 1.35
"""Ratio of sides above which one thing is clearly the larger."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EpisodeQuestion:
    """A question in words, and its answers."""

    category: str
    text: str
    answer: str
    extra_answers: tuple[str, ...] = ()


def ask_about(watched: Watched, random: np.random.Generator, *, most: int) -> list[EpisodeQuestion]:
    """At most `most` questions, of as many categories as there are, in the categories' order."""
    by_category: dict[str, list[EpisodeQuestion]] = {}
    for question in all_questions(watched, random):
        by_category.setdefault(question.category, []).append(question)
    chosen: list[EpisodeQuestion] = []
    rounds = [
        [own[int(place)] for place in random.permutation(len(own))] for own in by_category.values()
    ]
    for turn in range(max(map(len, rounds), default=0)):
        chosen += [own[turn] for own in rounds if turn < len(own)]
    kept = chosen[:most]
    return sorted(kept, key=lambda question: list(by_category).index(question.category))


def all_questions(watched: Watched, random: np.random.Generator) -> Iterator[EpisodeQuestion]:
    """Everything that can be asked of these frames."""
    end = Whereabouts.at(watched.episode, watched.episode.stamps_s[watched.numbers[-1]])
    seen = [i for i in range(len(watched.episode.things)) if watched.is_seen(i)]
    if watched.episode.events:
        yield from _localization(watched, end, seen)
        yield from _states_at_the_end(watched, end, seen, random)
        yield from _events(watched, seen)
        yield from _sides(watched, {i: watched.last[i] for i in seen}, " at the end", random)
        yield from _count(watched, end)
    else:
        places = _world_boxes(watched.episode, seen)
        yield from _neighbours(watched, places)
        yield from _sides(watched, places, "", random)
    yield from _looks(watched, seen)
    yield from _purposes_and_kinds(watched, seen)


def _localization(
    watched: Watched, end: Whereabouts, seen: Sequence[int]
) -> Iterator[EpisodeQuestion]:
    for thing in seen:
        box = watched.last[thing]
        text = f"Where is {watched.name(thing)} at the end?"
        if thing in end.inside:
            other = watched.name(end.inside[thing])
            yield _localized(text, f"in {other}", (f"inside {other}", f"inside of {other}"))
        elif thing in end.there and box is not None and (place := place_of(box)) is not None:
            yield _localized(text, place, (f"in the {place}", *accepted_places(place)))


def _neighbours(
    watched: Watched, places: Mapping[int, tuple[float, ...] | None]
) -> Iterator[EpisodeQuestion]:
    """Where a thing of a tour is, by the one that stands beside it."""
    for thing, other in permutations(places, 2):
        side = _side(places[thing], places[other])
        if side is None or not _are_seen_together(watched, thing, other):
            continue
        name = watched.name(other)
        yield _localized(
            f"Where is {watched.name(thing)}, seen from {name}?",
            f"{side} of {name}",
            (f"to the {side} of {name}", f"on the {side} of {name}", f"{side} of it", side),
        )


def _localized(text: str, answer: str, extra: Sequence[str]) -> EpisodeQuestion:
    return EpisodeQuestion(
        category="object localization", text=text, answer=answer, extra_answers=tuple(extra[:4])
    )


def _states_at_the_end(
    watched: Watched, end: Whereabouts, seen: Sequence[int], random: np.random.Generator
) -> Iterator[EpisodeQuestion]:
    """Whether things are still there: as many that are as that are not."""
    gone = [i for i in seen if i not in end.there]
    stayed = [i for i in seen if i in end.there and watched.last[i] is not None]
    stayed = [int(i) for i in random.permutation(stayed)[: len(gone)]]
    for thing in (*gone, *stayed):
        yield EpisodeQuestion(
            category="object state recognition",
            text=f"Can one see {watched.name(thing)} at the end?",
            answer="yes" if thing in stayed else "no",
        )


_ASKED: dict[EventKind, str] = {
    "appears": "What appears that was not there before?",
    "leaves": "What leaves and does not come back?",
    "returns": "What leaves and comes back?",
    "put in": "What is put in {other}?",
    "taken": "What is taken out of {other}?",
    "moved": "What is moved to another place?",
}


def _events(watched: Watched, seen: Sequence[int]) -> Iterator[EpisodeQuestion]:
    """Which thing something happens to, where it happens to one alone."""
    events = watched.episode.events
    last_s = watched.episode.stamps_s[watched.numbers[-1]]
    for kind, template in _ASKED.items():
        things = {event.thing for event in events if event.kind == kind}
        own = [event for event in events if event.kind == kind and event.stop_s <= last_s]
        if len(things) != 1 or not own or own[0].thing not in seen:
            continue
        returned = {event.thing for event in events if event.kind == "returns"}
        if kind == "leaves" and things & returned:
            continue
        thing, other = own[0].thing, own[0].other
        name = watched.episode.things[thing].name
        text = template.format(other="" if other is None else watched.name(other))
        yield EpisodeQuestion(
            category="object recognition",
            text=text,
            answer=name.text,
            extra_answers=name.accepted,
        )


def _sides(
    watched: Watched,
    places: Mapping[int, tuple[float, ...] | None],
    when: str,
    random: np.random.Generator,
) -> Iterator[EpisodeQuestion]:
    """Left or right, of pairs in an order that tells nothing."""
    for pair in combinations(places, 2):
        thing, other = (int(i) for i in random.permutation(pair))
        side = _side(places[thing], places[other])
        if side is None or not (when or _are_seen_together(watched, thing, other)):
            continue
        yield EpisodeQuestion(
            category="spatial understanding",
            text=(
                f"Is {watched.name(thing)} to the left or to the right of "
                f"{watched.name(other)}{when}?"
            ),
            answer=side,
            extra_answers=(f"to the {side}", f"on the {side}"),
        )


def _count(watched: Watched, end: Whereabouts) -> Iterator[EpisodeQuestion]:
    """How many there are, where each that is there can be seen."""
    count = len(end.there)
    if {i for i, box in enumerate(watched.last) if box is not None} == end.there:
        yield EpisodeQuestion(
            category="spatial understanding",
            text="How many things can one see at the end?",
            answer=str(count),
            extra_answers=(NUMBERS[count],),
        )


def _looks(watched: Watched, seen: Sequence[int]) -> Iterator[EpisodeQuestion]:
    """Colours, sizes, states, and what has a colour that no other has."""
    things = watched.episode.things
    colours = Counter(thing.colour for thing in things)
    for i in seen:
        thing, name = things[i], things[i].name.text
        if thing.colour is not None:
            yield EpisodeQuestion(
                category="attribute recognition",
                text=f"Which colour does the {name} have?",
                answer=thing.colour,
            )
            if colours[thing.colour] == 1:
                yield EpisodeQuestion(
                    category="object recognition",
                    text=f"What is the {thing.colour} thing?",
                    answer=name,
                    extra_answers=thing.name.accepted,
                )
        if thing.state is not None:
            yield EpisodeQuestion(
                category="object state recognition",
                text=f"How does the {name} stand: upright, tilted, on its side or upside down?",
                answer=thing.state,
                extra_answers=accepted_states(thing.state),
            )
    for pair in combinations(seen, 2):
        small, large = sorted(pair, key=lambda i: things[i].placed.size)
        if things[large].placed.size >= _LARGER * things[small].placed.size:
            first, second = (things[i].name.text for i in pair)
            yield EpisodeQuestion(
                category="attribute recognition",
                text=f"Which is larger, the {first} or the {second}?",
                answer=things[large].name.text,
                extra_answers=things[large].name.accepted,
            )


def _purposes_and_kinds(watched: Watched, seen: Sequence[int]) -> Iterator[EpisodeQuestion]:
    """What one could use, and which thing is of a kind, where there is no other."""
    names = [thing.name for thing in watched.episode.things]
    texts = {name.text for name in names}
    for use in all_uses():
        fitting = [i for i, name in enumerate(names) if name.text in use.names]
        if len(fitting) == 1 and not texts & use.unclear and fitting[0] in seen:
            yield EpisodeQuestion(
                category="functional reasoning",
                text=f"Which of these things could I use to {use.purpose}?",
                answer=names[fitting[0]].text,
                extra_answers=names[fitting[0]].accepted,
            )
    kinds, plurals = Counter(name.category for name in names), categories()
    for i in seen:
        if kinds[names[i].category] == 1:
            yield EpisodeQuestion(
                category="world knowledge",
                text=f"Which of these things belongs to the {plurals[names[i].category]}?",
                answer=names[i].text,
                extra_answers=names[i].accepted,
            )


def _side(box: tuple[float, ...] | None, other: tuple[float, ...] | None) -> str | None:
    if box is None or other is None:
        return None
    x, y = ((box[i] + box[i + 2] - other[i] - other[i + 2]) / 2 for i in (0, 1))
    if abs(x) < max(_BESIDE, 1.5 * abs(y)):
        return None
    return "right" if x > 0 else "left"


def _world_boxes(episode: Episode, seen: Sequence[int]) -> dict[int, tuple[float, ...]]:
    """Where things that never move stand, as shares of the world."""
    placed = [episode.scenes[0].things[i] for i in seen]
    return {i: (*own.center, *own.center) for i, own in zip(seen, placed, strict=True)}


def _are_seen_together(watched: Watched, thing: int, other: int) -> bool:
    """Whether one frame shows both."""
    return any(boxes[thing] is not None and boxes[other] is not None for boxes in watched.boxes)
