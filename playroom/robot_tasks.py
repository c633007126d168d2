"""RoboVQA's nine task families, asked of what happens in an episode.

Events become what a robot would be told to do: "put the red ball in the basket". A clip shows one
of them either done or only begun. What is asked about the steps cannot be told from the words
alone: a goal may begin with steps that were done long ago, and the steps so far may lack the last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mlcd.playroom.episodes import Episode
from mlcd.playroom.everyday import said
from mlcd.playroom.plays import Event, EventKind
from mlcd.playroom.watching import Whereabouts

Task = tuple[str, str, str]
"""Task as in its tag, what stands before the answer, the answer."""

_TOLD: dict[EventKind, str] = {
    "moved": "move {thing}",
    "put in": "put {thing} in {other}",
    "taken": "take {thing} out of {other}",
    "leaves": "take {thing} away",
    "returns": "bring {thing} back",
    "appears": "bring {thing}",
}
_GOAL_STEPS = 3
_BEGUN = 0.7
"""How much of an event a clip shows that stops in the middle of it."""
_LEAD_S = 0.6
"""What a clip shows before its event begins."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """A part of an episode around one event."""

    event: int
    """Its number."""
    is_done: bool
    """Whether the event is over at the end."""
    start_s: float
    stop_s: float


def clips(episode: Episode) -> list[Clip]:
    """Two clips of each event: until it is done, and until it is well under way."""
    last_s = episode.stamps_s[-1]
    found: list[Clip] = []
    for number, event in enumerate(episode.events):
        start_s = max(0.0, event.start_s - _LEAD_S)
        begun_s = event.start_s + _BEGUN * (event.stop_s - event.start_s)
        for is_done, stop_s in ((True, event.stop_s + 0.2), (False, begun_s)):
            if event.stop_s + 0.2 <= last_s:
                found.append(Clip(event=number, is_done=is_done, start_s=start_s, stop_s=stop_s))
    return found


def clip_frames(episode: Episode, clip: Clip, count: int) -> list[int]:
    """Numbers of `count` frames, evenly over the clip; a short one shows some of them twice."""
    stamps = np.asarray(episode.stamps_s)
    wanted = np.linspace(clip.start_s, clip.stop_s, count)
    return [int(np.abs(stamps - stamp_s).argmin()) for stamp_s in wanted]


def told(episode: Episode, event: Event) -> str:
    """The event as an instruction."""
    other = "" if event.other is None else said(episode.things[event.other])
    return _TOLD[event.kind].format(thing=said(episode.things[event.thing]), other=other)


def tasks(episode: Episode, clip: Clip, random: np.random.Generator) -> list[Task]:
    """What is asked about a clip: planning and the past when its event is done, else what follows.

    Whether something succeeded or is possible is asked of both.
    """
    steps = [told(episode, event) for event in episode.events]
    own = _planning(steps, clip.event, random) if clip.is_done else _following(steps[clip.event])
    return [*own, _success(steps, clip, random), *_possible(episode, clip, random)]


def _planning(steps: list[str], done: int, random: np.random.Generator) -> Iterator[Task]:
    """After step `done`: what comes next of a goal, with and without the steps so far."""
    yield "past_description:freeform", "Q: what was just done?", steps[done]
    if done + 1 == len(steps):
        return
    following = steps[done + 1]
    earliest = max(0, done + 2 - _GOAL_STEPS)
    first = int(random.integers(earliest, done + 2))
    goal = "current goal is: " + ", then ".join(steps[first : first + _GOAL_STEPS])
    whole = "current goal is: " + ", then ".join(steps)
    yield "planning:freeform", f"{goal} Q: immediate next step?", following
    for task, question, answer in (
        ("planning_with_context20:freeform", "what comes next?", following),
        ("immediate_planning_with_context20:freeform", "immediate next step?", following),
        (
            "remaining5_planning_with_context20:freeform",
            "next 5 steps?",
            _numbered([*steps[done + 1 : done + 6], "done"][:5]),
        ),
    ):
        known = int(random.integers(max(0, done - 1), done + 2))  # the last ones may be missing
        so_far = f". last 20 steps: {_numbered(steps[:known])}" if known else ""
        yield task, f"{whole}{so_far} Q: {question}", answer


def _following(step: str) -> Iterator[Task]:
    """While a step is under way."""
    yield "future_prediction:freeform", "Q: what is likely to happen next?", step
    yield "affordance:generative:positive:freeform", "Q: what action is possible right now?", step


def _success(steps: list[str], clip: Clip, random: np.random.Generator) -> Task:
    """Of a step that is done yes; no of one that is only begun, or of another."""
    others = [step for step in steps if step != steps[clip.event]]
    is_other = clip.is_done and bool(others) and random.random() < 0.3
    step = others[int(random.integers(len(others)))] if is_other else steps[clip.event]
    is_satisfied = clip.is_done and not is_other
    return (
        f"success:discrete:{is_satisfied}",
        f"{step} Q: satisfied?",
        "yes" if is_satisfied else "no",
    )


def _possible(episode: Episode, clip: Clip, random: np.random.Generator) -> Iterator[Task]:
    """Whether something could be done at the clip's end; as often yes as no.

    Of an event under way its own thing is not asked for.
    """
    event = episode.events[clip.event]
    state = Whereabouts.at(episode, clip.stop_s if clip.is_done else event.start_s)
    possible: dict[bool, list[str]] = {True: [], False: []}
    for thing in range(len(episode.things)):
        if thing == event.thing and not clip.is_done:
            continue
        name = said(episode.things[thing])
        is_there = thing in state.there
        possible[is_there] += [f"move {name}", f"take {name} away"]
        if thing in state.inside:
            other = said(episode.things[state.inside[thing]])
            possible[True].append(f"take {name} out of {other}")
    is_possible = bool(random.random() < 0.5)
    actions = possible[is_possible]
    if actions:
        yield (
            f"affordance:discriminative:discrete:{is_possible}",
            f"{actions[int(random.integers(len(actions)))]} Q: possible right now?",
            "yes" if is_possible else "no",
        )


def _numbered(steps: list[str]) -> str:
    return " ".join(f"{number}- {step}" for number, step in enumerate(steps, start=1))
