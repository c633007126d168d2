"""Held-out shares are stratified, seeded and disjoint; a set that cannot be right is refused."""

from __future__ import annotations

from collections import Counter

import pytest

from mlcd.core.datasets.labelled_set import LabelledSet, hold_out
from mlcd.core.datasets.retrieval_set import LabelledImage


def labelled(labels: list[int], *, classes: int = 3) -> LabelledSet:
    images = [LabelledImage(f"{i:03}", label, f"{i}.png") for i, label in enumerate(labels)]
    return LabelledSet("toy", [f"class {i}" for i in range(classes)], images, "d" * 64)


def test_a_share_of_each_class_is_held_out_and_nothing_is_lost() -> None:
    whole = labelled([0] * 20 + [1] * 10 + [2] * 2)
    rest, held = hold_out(whole, 0.3, seed=0)
    assert Counter(image.label for image in held.images) == {0: 6, 1: 3, 2: 1}
    ids = [image.id for image in [*rest.images, *held.images]]
    assert sorted(ids) == [image.id for image in whole.images]
    assert [image.id for image in rest.images] == sorted(image.id for image in rest.images)
    assert rest.classes == held.classes == whole.classes


def test_the_draw_depends_on_the_seed_alone_and_digests_tell_parts_apart() -> None:
    whole = labelled([0, 1, 2] * 20)
    first, again, other = (hold_out(whole, 0.25, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first[1].images != other[1].images
    digests = {part.digest for pair in (first, other) for part in pair}
    assert len(digests | {whole.digest}) == 5


def test_a_class_gives_at_least_one_and_keeps_at_least_one() -> None:
    rest, held = hold_out(labelled([0, 0, 1, 1, 1, 2]), 0.01, seed=0)
    assert Counter(image.label for image in held.images) == {0: 1, 1: 1}
    rest, held = hold_out(labelled([0, 0, 1, 1, 1, 2]), 0.99, seed=0)
    assert Counter(image.label for image in rest.images) == {0: 1, 1: 1, 2: 1}


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_of_nothing_or_all_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="more than 0 and less than 1"):
        hold_out(labelled([0, 0]), share, seed=0)


def test_lone_pictures_cannot_be_held_out() -> None:
    with pytest.raises(ValueError, match="no class has two pictures"):
        hold_out(labelled([0, 1, 2]), 0.5, seed=0)


def test_a_set_has_pictures_with_ids_of_their_own_and_known_labels() -> None:
    image = LabelledImage("1", 0, "1.png")
    with pytest.raises(ValueError, match="at least one picture"):
        LabelledSet("toy", ["a"], [], "d")
    with pytest.raises(ValueError, match="two pictures have the same id"):
        LabelledSet("toy", ["a"], [image, image], "d")
    with pytest.raises(ValueError, match="picture 2 has label 1, expected one of 1 classes"):
        LabelledSet("toy", ["a"], [image, LabelledImage("2", 1, "2.png")], "d")
