"""Referring expressions about pictures of the embedded world, with the masks of what they mean.

In each picture several things have the same name, so that one has to read the phrase. Picture
`index` is a pure function of the seed, its part and its number, and the same for all four tasks.
Training and val share art style, wordings and combinations; testA has new wordings and combinations
in that style, testB the same in the style that training never shows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np

from mlcd.core.images import Image
from mlcd.core.masks import Mask
from mlcd.playroom.conversations import SIZE
from mlcd.playroom.named_scenes import NamedScenes, State, Wish
from mlcd.playroom.names import Name
from mlcd.playroom.pointing import WORDINGS, Form, Pointer, single_pointers
from mlcd.playroom.pointing_at_many import absent_pointers, plural_pointers
from mlcd.playroom.question_tests import test_rows
from mlcd.playroom.relations import Sight, see
from mlcd.playroom.scenes import Scene
from mlcd.playroom.views import look
from mlcd.playroom.wordings import Split, belongs_to, phrase_in_words

Task = Literal["refcoco", "refcoco+", "refcocog", "grefcoco"]
TASKS: tuple[Task, ...] = get_args(Task)
Part = Literal["train", "val", "testA", "testB"]
PARTS: tuple[Part, ...] = get_args(Part)

TESTS = ("testA", "testB")

_FIRST_STREAM = 10  # conversations and their tests have the streams below
_TRIES = 400
_SHARES: dict[Task, dict[Form, float]] = {
    "refcoco": {
        "name": 0.5,
        "attributes": 1.5,
        "size": 1,
        "edge": 2.5,
        "ordinal": 1,
        "place": 2,
        "beside": 1.5,
    },
    "refcoco+": {"name": 1, "attributes": 4, "size": 2},
    "refcocog": {
        "attributes": 1,
        "size": 1,
        "edge": 0.5,
        "place": 1,
        "beside": 3,
        "depth": 1.5,
        "nearest": 1.5,
    },
    "grefcoco": {
        "name": 0.5,
        "attributes": 2,
        "size": 0.5,
        "edge": 1,
        "place": 1,
        "beside": 1,
        "all": 1.5,
        "half": 0.8,
        "two": 1.7,
        "absent name": 0.8,
        "absent colour": 1,
        "absent state": 0.7,
        "absent relation": 0.8,
    },
}
"""How often each form comes up where the picture has phrases of it."""


class ReferredThing(NamedTuple):
    """A thing of a picture."""

    mask: Mask
    """Its visible pixels, bool (H, W)."""
    name: str
    category: str
    colour: str | None
    """None where it has its own colours."""
    state: State | None
    """None for a thing without a clear upright."""


class ReferringPhrase(NamedTuple):
    """A phrase and the numbers of the things that it means; none when none of it is there."""

    text: str
    targets: tuple[int, ...]
    form: Form


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ReferringPicture:
    """A picture, RGB uint8 (H, W, 3), its things and phrases about them."""

    image: Image
    scene: Scene
    things: tuple[ReferredThing, ...]
    phrases: tuple[ReferringPhrase, ...]
    row: str
    """What of a test it belongs to; "" outside of the tests."""


class ReferringScene(NamedTuple):
    """A picture with all ways to point at things in it that its part may use, by task."""

    sight: Sight
    pointers: Mapping[Task, Sequence[Pointer]]
    row: str


def referring_picture(
    seed: int,
    index: int,
    *,
    task: Task,
    part: Part,
    size: int = SIZE,
    most_phrases: int = 4,
) -> ReferringPicture:
    """Picture `index` of a part with one to `most_phrases` phrases, no two of them the same.

    `size`: pixels of the shorter side. ValueError for an unknown task or part.
    """
    if task not in TASKS:
        raise ValueError(f"{task!r} is no task: expected one of {', '.join(TASKS)}")
    scene = referring_scene(seed, index, part=part, size=size)
    return phrased(scene, seed, index, task=task, part=part, most_phrases=most_phrases)


def referring_scene(seed: int, index: int, *, part: Part, size: int = SIZE) -> ReferringScene:
    """The picture itself, in which there is something to say for every task."""
    if part not in PARTS:
        raise ValueError(f"{part!r} is no part: expected one of {', '.join(PARTS)}")
    random = np.random.default_rng((seed, _FIRST_STREAM + PARTS.index(part), index))
    rows = [row for row in test_rows() if row.test == (part if part == "testB" else "testA")]
    row = rows[index % len(rows)]
    for _ in range(_TRIES):
        sight = _draw(row.scenes, random, size)
        pointers = _pointers(sight, row.scenes.names, _split(part), random) if sight else {}
        if sight is not None and all(pointers.values()):
            return ReferringScene(sight, pointers, row.row if part in TESTS else "")
    raise ValueError(f"no scene of {_TRIES} has phrases for every task; try another seed")


def phrased(
    scene: ReferringScene, seed: int, index: int, *, task: Task, part: Part, most_phrases: int
) -> ReferringPicture:
    """The picture with a choice of phrases for one task."""
    entropy = (seed, _FIRST_STREAM + PARTS.index(part), index, TASKS.index(task))
    random = np.random.default_rng(entropy)
    things = zip(scene.sight.things, scene.sight.masks, strict=True)
    return ReferringPicture(
        image=scene.sight.image,
        scene=scene.sight.scene.scene,
        things=tuple(
            ReferredThing(
                mask,
                seen.named.name.text,
                seen.named.name.category,
                seen.named.colour,
                seen.named.state,
            )
            for seen, mask in things
        ),
        phrases=_choose(scene.pointers[task], task, _split(part), random, most_phrases),
        row=scene.row,
    )


def _split(part: Part) -> Split:
    return "train" if part in ("train", "val") else "test"


def _draw(scenes: NamedScenes, random: np.random.Generator, size: int) -> Sight | None:
    """A scene with two to four things of one name, and often two of another."""
    first = scenes.names[int(random.integers(len(scenes.names)))]
    wishes = [Wish(name=first)] * int(random.choice((2, 3, 4), p=(0.45, 0.35, 0.2)))
    second = scenes.names[int(random.integers(len(scenes.names)))]
    if random.random() < 0.4 and second != first and second.text not in first.lookalikes:
        wishes += [Wish(name=second)] * 2
    most = max(len(wishes) + 1, scenes.most - 1)
    drawn = NamedScenes(
        style=scenes.style,
        names=scenes.names,
        least=len(wishes) + 1,
        most=most,
        natural_share=0.2,
    ).draw(random, wishes)
    return None if drawn is None else see(drawn, size)


def _pointers(
    sight: Sight, names: Sequence[Name], split: Split, random: np.random.Generator
) -> dict[Task, list[Pointer]]:
    view = look(sight)
    singles = single_pointers(view, random)
    found = [
        pointer
        for pointer in (
            *singles,
            *plural_pointers(view, singles, random),
            *absent_pointers(view, names, random),
        )
        if _may_say(pointer, split)
    ]
    return {
        task: [pointer for pointer in found if pointer.form in shares]
        for task, shares in _SHARES.items()
    }


def _may_say(pointer: Pointer, split: Split) -> bool:
    """Training says nothing that is for tests; tests say something in each phrase that is."""
    belongs = [belongs_to(combination, split) for combination in pointer.combinations]
    return all(belongs) if split == "train" else any(belongs)


def _choose(
    pointers: Sequence[Pointer],
    task: Task,
    split: Split,
    random: np.random.Generator,
    most: int,
) -> tuple[ReferringPhrase, ...]:
    """Form by their shares, then what is meant, rather something new, then in which words."""
    left: dict[Form, list[Pointer]] = defaultdict(list)
    for pointer in pointers:
        left[pointer.form].append(pointer)
    chosen: dict[str, ReferringPhrase] = {}
    meant: set[tuple[int, ...]] = set()
    while left and len(chosen) < most:
        forms = list(left)
        chances = np.asarray([_SHARES[task][form] for form in forms])
        form = forms[int(random.choice(len(forms), p=chances / chances.sum()))]
        targets = sorted({pointer.targets for pointer in left[form]})
        fresh = [target for target in targets if target not in meant] or targets
        target = fresh[int(random.integers(len(fresh)))]
        fitting = [pointer for pointer in left[form] if pointer.targets == target]
        pointer = fitting[int(random.integers(len(fitting)))]
        wording = WORDINGS.get(form, form)
        text = phrase_in_words(wording, pointer.words, split, random, is_long=task == "refcocog")
        chosen.setdefault(text, ReferringPhrase(text, pointer.targets, form))
        meant.add(target)
        left[form].remove(pointer)
        if not left[form]:
            del left[form]
    return tuple(chosen.values())
