"""Reads phrases back word by word, and says by the visible masks what they mean, without margins.

A slow and separate way to what `mlcd.playroom.pointing` makes, for tests.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import numpy as np

from mlcd.playroom.names import all_names, categories
from mlcd.playroom.pointing import WORDINGS
from mlcd.playroom.referring import ReferringPhrase, ReferringPicture, Task
from mlcd.playroom.renderer import render
from mlcd.playroom.scenes import Scene
from mlcd.playroom.tints import NAMED_COLOURS
from mlcd.playroom.wordings import templates

STATES = {"upright": "upright", "tilted": "tilted", "sideways": "on its side"} | {
    "upside down": "upside down"
}
NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
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
        return bool(gaps.min() < 0.05 * min(self.picture.image.shape[:2]))

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

    def readings(self, phrase: ReferringPhrase, task: Task, split: str) -> list[set[int]]:
        """What each wording that gives this text would mean."""
        form = WORDINGS.get(phrase.form, phrase.form)
        splits = templates("phrases")[f"long {form}" if task == "refcocog" else form]
        found: list[set[int]] = []
        for template in splits[split]:  # type: ignore[index]
            pattern = re.sub(
                r"\\{(\w+)\\}",
                lambda gap: f"(?P<{gap[1]}>{FIELDS.get(gap[1], '.+')})",
                re.escape(template),
            )
            match = re.fullmatch(pattern, phrase.text)
            if match is None:
                continue
            words = match.groupdict()
            meant = self.meant(form, words)
            if meant is not None:
                found.append(meant)
        return found
