"""Each phrase is true of exactly what it means, and one has to read it.

Phrases are read back word by word here and held against the visible masks, without any margin.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest

from mlcd.playroom.names import all_names, categories, name_of
from mlcd.playroom.referring import (
    PARTS,
    TASKS,
    Part,
    ReferringPhrase,
    ReferringPicture,
    Task,
    referring_picture,
)
from mlcd.playroom.renderer import render
from mlcd.playroom.scenes import Scene
from mlcd.playroom.tints import NAMED_COLOURS
from mlcd.playroom.wordings import belongs_to, templates

SIZE = 96
STATES = {"upright": "upright", "tilted": "tilted", "sideways": "on its side"} | {
    "upside down": "upside down"
}
NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
PLACE_WORDS = re.compile(
    r"\b(left|right|top|bottom|middle|center|above|below|first|second|third|fourth|front|behind"
    r"|half|closest|farthest)|most\b"
)
FIELDS = {
    "place": "center|(?:top|middle|bottom) (?:left|middle|right)",
    "relation": "to the left of|to the right of|above|below|in front of|behind",
    "edge": "left|right|top|bottom",
    "half": "left|right|top|bottom",
    "ordinal": "first|second|third|fourth",
    "size": "smaller|bigger|smallest|biggest",
    "count": "|".join(NUMBERS),
}
"""What may stand in the gaps of a wording, other than descriptions."""
COUNT = 40


@cache
def nouns() -> dict[str, tuple[str, str]]:
    """Singular and plural -> what it is and which."""
    found = {"thing": ("thing", ""), "things": ("thing", "")}
    for name in all_names():
        found |= {name.text: ("name", name.text), name.plural: ("name", name.text)}
    for kind, plural in categories().items():
        singular = f"piece of {kind}" if plural.startswith("pieces") else kind
        found |= {singular: ("category", kind), plural: ("category", kind)}
    return found


class Reader:
    """Reads phrases about one picture."""

    def __init__(self, picture: ReferringPicture) -> None:
        self.picture = picture
        self.count = len(picture.things)
        self.middles = [self._middle(thing.mask) for thing in picture.things]

    @staticmethod
    def _middle(mask: np.ndarray) -> tuple[float, float]:
        rows, columns = np.nonzero(mask)
        return (columns.min() + columns.max() + 1) / 2, (rows.min() + rows.max() + 1) / 2

    def described(self, text: str) -> set[int] | None:
        """Which things a description fits; None when it is no description."""
        state = next((word for word in STATES if text.startswith(f"{word} ")), None)
        text = text.removeprefix(f"{state} ")
        colour = next((word for word in NAMED_COLOURS if text.startswith(f"{word} ")), None)
        noun = nouns().get(text.removeprefix(f"{colour} "))
        if noun is None:
            return None
        return {
            i
            for i, thing in enumerate(self.picture.things)
            if noun in {("thing", ""), ("name", thing.name), ("category", thing.category)}
            and colour in (None, thing.colour)
            and (state is None or thing.state == STATES[state])
        }

    def is_beside(self, index: int, relation: str, other: int) -> tuple[bool, bool]:
        """Whether it is in that direction more than in any other; whether on that half at all."""
        (x0, y0), (x1, y1) = self.middles[index], self.middles[other]
        along = {
            "to the left of": x1 - x0,
            "to the right of": x0 - x1,
            "above": y1 - y0,
            "below": y0 - y1,
        }[relation]
        across = abs(y1 - y0) if relation.startswith("to") else abs(x1 - x0)
        return along > across, along > 0

    def hides(self, front: int, back: int) -> bool:
        """Whether one is seen where the other would be, were it alone."""
        height, width = self.picture.image.shape[:2]
        alone = render(Scene(things=(self.picture.scene.things[back],)), width, height)
        return bool((alone.things[0].mask & self.picture.things[front].mask).any())

    def meant(self, form: str, words: dict[str, str]) -> set[int] | None:
        """What a phrase of that form means; None when the words are none of that form."""
        few = self.described(words["thing"]) if "thing" in words else None
        if "thing" in words and few is None:
            return None
        return getattr(self, f"_{form}")(few, words)

    def _name(self, few: set[int], words: dict[str, str]) -> set[int]:
        return few

    _attributes = _name

    def _size(self, few: set[int], words: dict[str, str]) -> set[int]:
        assert (words["size"] in ("bigger", "smaller")) == (len(few) == 2)
        pick: Callable[..., int] = max if words["size"].startswith("big") else min
        return {pick(few, key=lambda i: int(self.picture.things[i].mask.sum()))}

    def _edge(self, few: set[int], words: dict[str, str]) -> set[int]:
        return {self._in_turn(few, words["edge"])[0]} if few else set()

    def _ordinal(self, few: set[int], words: dict[str, str]) -> set[int]:
        number = ("first", "second", "third", "fourth").index(words["ordinal"])
        return {self._in_turn(few, words["edge"])[number]}

    def _in_turn(self, few: set[int], edge: str) -> list[int]:
        axis = 0 if edge in ("left", "right") else 1
        sign = 1 if edge in ("left", "top") else -1
        return sorted(few, key=lambda i: sign * self.middles[i][axis])

    def _place(self, few: set[int], words: dict[str, str]) -> set[int]:
        place = words["place"].replace("center", "middle middle")
        row, column = place.split()
        height, width = self.picture.image.shape[:2]
        return {
            i
            for i in few
            if int(3 * self.middles[i][0] / width) == ("left", "middle", "right").index(column)
            and int(3 * self.middles[i][1] / height) == ("top", "middle", "bottom").index(row)
        }

    def _beside(self, few: set[int], words: dict[str, str]) -> set[int] | None:
        other = self.described(words["other"])
        if other is None:
            return None
        (landmark,) = other
        found = set()
        for index in few - other:
            is_there, is_on_half = self.is_beside(index, words["relation"], landmark)
            assert is_there or not is_on_half or len(few) == 1 or self._is_level(index, landmark)
            if is_there:
                found.add(index)
        return found

    def _is_level(self, index: int, landmark: int) -> bool:
        """Within a twentieth of the picture of being neither on one half nor the other."""
        gaps = np.abs(np.subtract(self.middles[index], self.middles[landmark]))
        return bool(gaps.min() < 0.05 * SIZE)

    def _depth(self, few: set[int], words: dict[str, str]) -> set[int] | None:
        other = self.described(words["other"])
        if other is None:
            return None
        (landmark,) = other
        is_front = words["relation"] == "in front of"
        shares = {
            i: self.hides(i, landmark) if is_front else self.hides(landmark, i) for i in few - other
        }
        return {i for i, hides in shares.items() if hides}

    def _nearest(self, few: set[int] | None, words: dict[str, str]) -> set[int] | None:
        few = few or self.described(words["things"])
        other = self.described(words["other"])
        if not few or other is None:
            return None
        (landmark,) = other
        assert landmark not in few
        origin = np.asarray(self.middles[landmark])
        return {min(few, key=lambda i: float(np.linalg.norm(self.middles[i] - origin)))}

    def _all(self, few: set[int] | None, words: dict[str, str]) -> set[int] | None:
        meant = self.described(words["things"])
        if meant is not None and "count" in words:
            assert len(meant) == NUMBERS[words["count"]]
        return meant

    def _half(self, few: set[int] | None, words: dict[str, str]) -> set[int] | None:
        all_of_them = self.described(words["things"])
        if all_of_them is None:
            return None
        height, width = self.picture.image.shape[:2]
        return {
            i
            for i in all_of_them
            if {
                "left": self.middles[i][0] < width / 2,
                "right": self.middles[i][0] > width / 2,
                "top": self.middles[i][1] < height / 2,
                "bottom": self.middles[i][1] > height / 2,
            }[words["half"]]
        }

    def _two(self, few: set[int] | None, words: dict[str, str]) -> set[int] | None:
        meant: set[int] = set()
        for part in (words["first"], words["second"]):
            one = self._short(part)
            if one is None:
                return None
            assert len(one) == 1
            meant |= one
        return meant

    def _short(self, text: str) -> set[int] | None:
        first, _, rest = text.partition(" ")
        if first in ("left", "right", "top", "bottom"):
            few = self.described(rest)
            return few and self._edge(few, {"edge": first})
        if first in ("bigger", "smaller", "biggest", "smallest"):
            few = self.described(rest)
            return few and self._size(few, {"size": first})
        return self.described(text)

    def absent(self, text: str) -> set[int] | None:
        """Of a phrase with no target: a description, or one thing beside another."""
        for relation in (" to the left of the ", " to the right of the ", " above the "):
            if relation in text:
                break
        else:
            relation = " below the "
        first, _, second = text.partition(relation)
        few = self.described(first)
        if few is None or not second:
            return few
        other = self.described(second)
        if other is None:
            return None
        (landmark,) = other
        assert few
        return {i for i in few if self.is_beside(i, relation[1:-5], landmark)[0]}

    def readings(self, phrase: ReferringPhrase, task: Task, split: str) -> list[set[int]]:
        """What each wording that gives this text would mean."""
        form = f"long {phrase.form}" if task == "refcocog" else phrase.form
        found: list[set[int]] = []
        for template in templates("phrases")[form][split]:  # type: ignore[index]
            pattern = re.sub(
                r"\\{(\w+)\\}",
                lambda gap: f"(?P<{gap[1]}>{FIELDS.get(gap[1], '.+')})",
                re.escape(template),
            )
            match = re.fullmatch(pattern, phrase.text)
            if match is None:
                continue
            words = match.groupdict()
            meant = (
                self.absent(words["thing"])
                if phrase.form == "absent"
                else self.meant(phrase.form, words)
            )
            if meant is not None:
                found.append(meant)
        return found


def pictures(task: Task, part: Part, count: int = COUNT) -> Iterator[ReferringPicture]:
    for index in range(count):
        yield referring_picture(5, index, task=task, part=part, size=SIZE)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("task", TASKS)
def test_each_phrase_is_true_of_exactly_what_it_means(task: Task, part: Part) -> None:
    split = "train" if part in ("train", "val") else "test"
    for picture in pictures(task, part):
        reader = Reader(picture)
        for phrase in picture.phrases:
            assert reader.readings(phrase, task, split) == [set(phrase.targets)], phrase


def test_masks_are_the_visible_pixels_and_share_none() -> None:
    for picture in pictures("refcoco", "train", 10):
        height, width = picture.image.shape[:2]
        assert min(height, width) == SIZE
        drawn = render(picture.scene, width, height)
        assert (drawn.image == picture.image).all()
        for thing, seen in zip(picture.things, drawn.things, strict=True):
            assert thing.mask.any()
            assert (thing.mask == seen.mask).all()
        assert np.sum([thing.mask for thing in picture.things], axis=0).max() == 1


def test_several_things_have_the_same_name_so_that_the_phrase_matters() -> None:
    for picture in pictures("refcoco", "train"):
        assert max(Counter(thing.name for thing in picture.things).values()) >= 2


@pytest.mark.parametrize("part", PARTS)
def test_refcoco_plus_never_says_where_something_is(part: Part) -> None:
    for picture in pictures("refcoco+", part):
        for phrase in picture.phrases:
            assert not PLACE_WORDS.search(phrase.text), phrase


def test_refcocog_speaks_in_longer_sentences() -> None:
    lengths = {
        task: np.mean(
            [len(p.text.split()) for picture in pictures(task, "train") for p in picture.phrases]
        )
        for task in TASKS
    }
    assert lengths["refcocog"] > 2 * lengths["refcoco+"]
    assert lengths["refcocog"] > 1.7 * lengths["refcoco"]


def test_only_grefcoco_means_several_things_or_none_and_each_often() -> None:
    for task in TASKS[:3]:
        for picture in pictures(task, "train", 20):
            assert {len(phrase.targets) for phrase in picture.phrases} == {1}
    counts = Counter(
        min(len(phrase.targets), 2)
        for picture in pictures("grefcoco", "train")
        for phrase in picture.phrases
    )
    assert min(counts[0], counts[1], counts[2]) > 0.15 * counts.total()


def test_most_phrases_without_a_target_speak_of_things_that_are_there() -> None:
    """Or else one could tell them by their nouns."""
    hard = easy = 0
    for picture in pictures("grefcoco", "train"):
        names = {thing.name for thing in picture.things}
        for phrase in picture.phrases:
            if not phrase.targets:
                is_there = any(f" {name} " in f" {phrase.text} " for name in names)
                hard, easy = hard + is_there, easy + (not is_there)
    assert hard > 2 * easy > 0


def test_training_shows_one_style_and_testb_the_other() -> None:
    styles = {
        part: {thing.style for p in pictures("refcoco", part, 6) for thing in p.scene.things}
        for part in PARTS
    }
    assert styles == {"train": {"noto"}, "val": {"noto"}, "testA": {"noto"}, "testB": {"fluent"}}
    rows = [p.row for p in pictures("refcoco", "testB", 4)]
    assert len(set(rows)) == 2
    for row, picture in zip(rows, pictures("refcoco", "testB", 4), strict=True):
        is_new = {name_of(thing.name).thing.is_test for thing in picture.things}
        assert is_new == {row.endswith("new to the tower")}


def test_no_wording_of_the_tests_is_one_of_training_nor_has_a_new_word() -> None:
    train = [t for splits in templates("phrases").values() for t in splits["train"]]
    words = {word for t in train for word in re.findall(r"[a-z]+", re.sub(r"\{\w+\}", " ", t))}
    for splits in templates("phrases").values():
        for template in splits["test"]:
            assert template not in train
            assert set(re.findall(r"[a-z]+", re.sub(r"\{\w+\}", " ", template))) <= words


def test_training_leaves_out_what_is_kept_for_tests() -> None:
    for part, split in (("train", "train"), ("testA", "test")):
        for picture in pictures("refcoco+", part, 20):  # type: ignore[arg-type]
            for phrase in picture.phrases:
                if phrase.form != "name":
                    continue
                (target,) = phrase.targets
                thing = picture.things[target]
                if f" {thing.name} " in f" {phrase.text} ":
                    combination = (thing.name, "own colours", thing.name)
                    assert belongs_to(combination, split)  # type: ignore[arg-type]


def test_a_picture_follows_from_seed_part_and_number_and_is_the_same_for_all_tasks() -> None:
    first = referring_picture(1, 7, task="refcoco", part="train", size=SIZE)
    again = referring_picture(1, 7, task="refcoco", part="train", size=SIZE)
    assert (first.image == again.image).all()
    assert first.phrases == again.phrases
    other = referring_picture(1, 7, task="refcocog", part="train", size=SIZE)
    assert other.scene == first.scene
    assert other.phrases != first.phrases
    assert referring_picture(1, 7, task="refcoco", part="val", size=SIZE).scene != first.scene
    assert referring_picture(2, 7, task="refcoco", part="train", size=SIZE).scene != first.scene


def test_no_phrase_comes_twice_and_none_too_many() -> None:
    for picture in pictures("refcoco+", "train", 10):
        texts = [phrase.text for phrase in picture.phrases]
        assert 1 <= len(texts) == len(set(texts)) <= 4
    assert len(referring_picture(0, 0, task="refcoco", part="train", most_phrases=9).phrases) == 9


def test_unknown_tasks_and_parts_are_named() -> None:
    with pytest.raises(ValueError, match=r"'refcoco-' is no task: expected one of refcoco, "):
        referring_picture(0, 0, task="refcoco-", part="train")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'test' is no part: expected one of train, "):
        referring_picture(0, 0, task="refcoco", part="test")  # type: ignore[arg-type]
