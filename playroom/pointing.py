"""Every way to point at things of a picture in words, each true of exactly what it means.

Geometry is that of the visible pixels. What two people could see differently is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from mlcd.playroom.descriptions import ANYTHING, Description
from mlcd.playroom.questions.question import Combination
from mlcd.playroom.views import EDGES, SIDES, View, fit_of_place, fit_of_relation

Form = Literal[
    "name",
    "attributes",
    "size",
    "edge",
    "ordinal",
    "place",
    "beside",
    "depth",
    "nearest",
    "all",
    "half",
    "two",
    "absent name",
    "absent colour",
    "absent state",
    "absent relation",
]
"""Forms of phrases; from "all" on they mean several things or none."""
WORDINGS: dict[Form, Form] = {
    "absent name": "name",
    "absent colour": "attributes",
    "absent state": "attributes",
    "absent relation": "beside",
}
"""What is not there is said in the words of what is, or else the words would tell."""
FORMS: tuple[Form, ...] = get_args(Form)

ORDINALS = ("first", "second", "third", "fourth")
_LARGER, _LARGER_SEEN = 1.6, 1.3  # ratio of areas, of all of a thing and of what is seen of it
_FARTHER_OUT, _APART = 0.1, 0.07  # shares of the picture's shorter side
_CLOSER = 0.6  # share of the distance of the next
_MOST_RELATIONS = 14


class Pointer(NamedTuple):
    """A phrase before it is put into words."""

    form: Form
    words: Mapping[str, str]
    targets: tuple[int, ...]
    """Numbers of things; none when nothing in the picture is meant."""
    combinations: tuple[Combination, ...]
    """What is split between training and tests."""


def single_pointers(view: View, random: np.random.Generator) -> list[Pointer]:
    """All that mean one thing, which is large enough to be recognised; some of the relations."""
    found: list[Pointer] = []
    for one in view.descriptions:
        if not view.is_nameable(one.fit.sure):
            continue
        if len(one.fit.sure) == 1:
            found += _by_itself(one)
        else:
            found += _by_size(view, one) + _by_edge(view, one) + _by_ordinal(view, one)
        found += _by_place(view, one)
    return found + _by_relation(view, random)


def _by_itself(one: Description) -> list[Pointer]:
    if one.is_bare:
        return [] if one.noun == ANYTHING else [_pointer("name", one, one.fit.sure, one.noun)]
    return [_pointer("attributes", one, one.fit.sure, one.state or "colour")]


def _by_size(view: View, one: Description) -> list[Pointer]:
    whole = [thing.area for thing in view.sight.things]
    ordered = sorted(one.fit.sure, key=lambda i: whole[i])
    found: list[Pointer] = []
    for word, comparative, first, second in (
        ("smallest", "smaller", ordered[0], ordered[1]),
        ("biggest", "bigger", ordered[-1], ordered[-2]),
    ):
        low, high = (first, second) if word == "smallest" else (second, first)
        is_extreme = first == (min if word == "smallest" else max)(
            one.fit.sure, key=lambda i: view.areas[i]
        )
        if (
            is_extreme
            and whole[high] >= _LARGER * whole[low]
            and view.areas[high] >= _LARGER_SEEN * view.areas[low]
        ):
            said = comparative if len(ordered) == 2 else word
            found.append(_pointer("size", one, {first}, word, size=said))
    return found


def _by_edge(view: View, one: Description) -> list[Pointer]:
    found: list[Pointer] = []
    for edge, (axis, sign) in EDGES.items():
        outermost, following, *_ = sorted(one.fit.sure, key=lambda i: sign * view.centers[i][axis])
        gap = sign * (view.centers[following][axis] - view.centers[outermost][axis])
        if gap >= _FARTHER_OUT:
            found.append(_pointer("edge", one, {outermost}, edge, edge=edge))
    return found


def _by_ordinal(view: View, one: Description) -> list[Pointer]:
    """The second from the left, where there are three in a row that one can count."""
    in_turn = sorted(one.fit.sure, key=lambda i: view.centers[i][0])
    if not 3 <= len(in_turn) <= len(ORDINALS):
        return []
    places = [view.centers[i][0] for i in in_turn]
    if min(np.diff(places)) < _APART:
        return []
    found: list[Pointer] = []
    for edge, row in (("left", in_turn), ("right", in_turn[::-1])):
        for ordinal, index in zip(ORDINALS, row[:-1], strict=False):
            words = {"ordinal": ordinal, "edge": edge}
            found.append(_pointer("ordinal", one, {index}, f"{ordinal} {edge}", **words))
    return found


def _by_place(view: View, one: Description) -> list[Pointer]:
    """In a ninth of the picture; a mere thing only where no other reaches into it."""
    found: list[Pointer] = []
    for index in one.fit.sure:
        place = view.sight.things[index].place
        owns = one.noun != ANYTHING or view.sight.things[index].owns_place
        if place is None or not owns:
            continue
        meant = one.fit.both(fit_of_place(view, place))
        if meant.is_clear and meant.sure == {index}:
            # "the middle duck" could also be the one between two others
            said = "center" if place == "middle" else place
            found.append(_pointer("place", one, meant.sure, place, place=said))
    return found


def _by_relation(view: View, random: np.random.Generator) -> list[Pointer]:
    """Beside, in front of, behind or nearest to another thing that words leave no doubt about."""
    others = [
        one
        for one in view.descriptions
        if len(one.fit.sure) == 1
        and view.is_nameable(one.fit.sure)
        and one.noun != ANYTHING
        and one.state is None
    ]
    heads = [one for one in view.descriptions if view.is_nameable(one.fit.sure)]
    pairs = [(other, say) for other in others for say in (*SIDES, "in front of", "behind", "near")]
    found: list[Pointer] = []
    num_used = 0
    for number in random.permutation(len(pairs)):
        other, relation = pairs[int(number)]
        (landmark,) = other.fit.sure
        if relation == "near":
            new = [p for one in heads for p in _nearest(view, one, other, landmark)]
        else:
            new = _related(view, heads, other, relation)
        found += new
        num_used += bool(new)
        if num_used == _MOST_RELATIONS:
            break
    return found


def _related(
    view: View, heads: Sequence[Description], other: Description, relation: str
) -> list[Pointer]:
    (landmark,) = other.fit.sure
    form: Form = "beside" if relation in SIDES else "depth"
    where = fit_of_relation(view, relation, landmark)
    if not where.sure:
        return []
    found: list[Pointer] = []
    for one in heads:
        meant = one.fit.both(where)
        if meant.is_clear and len(meant.sure) == 1:
            words = {"relation": relation, "other": other.text}
            found.append(_pointer(form, one, meant.sure, relation, **words))
    return found


def _nearest(view: View, one: Description, other: Description, landmark: int) -> list[Pointer]:
    """Where there are several of the kind, and one is much closer than the next."""
    rest = one.fit.sure - {landmark}
    if len(rest) < 2 or landmark in one.fit.sure:
        return []
    origin = np.asarray(view.centers[landmark])
    away = {i: float(np.hypot(*(np.asarray(view.centers[i]) - origin))) for i in rest}
    first, second, *_ = sorted(rest, key=lambda i: away[i])
    if away[first] > _CLOSER * away[second]:
        return []
    words = {"things": one.plural_text, "other": other.text}
    return [_pointer("nearest", one, {first}, "nearest", **words)]


def _pointer(
    form: Form, one: Description, targets: frozenset[int] | set[int], said: str, **words: str
) -> Pointer:
    return Pointer(
        form, {"thing": one.text} | words, tuple(sorted(targets)), (one.combination(said),)
    )
