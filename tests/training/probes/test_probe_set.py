"""The two sides of a probe have the same classes, and a published set has its counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlcd.core.datasets.labelled_set import LabelledSet, hold_out
from mlcd.core.datasets.retrieval_set import LabelledImage
from mlcd.training.probes.probe_set import ProbeSet
from mlcd.training.probes.published import (
    PUBLISHED,
    PublishedSet,
    published_knn,
    published_linear,
)


def labelled(count: int, classes: tuple[str, ...] = ("cat", "dog"), *, name: str) -> LabelledSet:
    images = [LabelledImage(str(i), i % len(classes), f"{i}.png") for i in range(count)]
    return LabelledSet(name, classes, images, digest=name * 64)


TRAIN, TEST = labelled(20, name="a"), labelled(4, name="b")


def test_other_classes_or_another_order_are_refused() -> None:
    for classes in (("cat", "cow"), ("cat", "dog", "cow")):
        with pytest.raises(ValueError, match="only one of them has cow"):
            ProbeSet(TRAIN, labelled(4, classes, name="b"))
    with pytest.raises(ValueError, match="in another order"):
        ProbeSet(TRAIN, labelled(4, ("dog", "cat"), name="b"))


def test_the_digest_is_of_every_part() -> None:
    rest, validation = hold_out(TRAIN, 0.2, seed=0)
    digests = {
        ProbeSet(TRAIN, TEST).digest,
        ProbeSet(rest, TEST).digest,
        ProbeSet(rest, TEST, validation).digest,
        ProbeSet(TRAIN, replace(TEST, digest="c" * 64)).digest,
    }
    assert len(digests) == 4


def test_a_set_that_is_called_published_must_have_its_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ValueError, match="no published set 'cats'; known: food101"):
        ProbeSet(TRAIN, TEST, published="cats")
    with pytest.raises(ValueError, match="pets has 37 classes, 3,680 training and 3,669 test"):
        ProbeSet(TRAIN, TEST, published="pets")
    rest, validation = hold_out(TRAIN, 0.2, seed=0)
    counts = PublishedSet(num_classes=2, num_train=20, num_test=4)
    monkeypatch.setitem(PUBLISHED, "pets", counts)
    assert ProbeSet(rest, TEST, validation, "pets").name == "pets"
    assert ProbeSet(TRAIN, TEST).name == "a -> b"


def test_the_papers_numbers_stand_beside_the_metric_of_the_set() -> None:
    pets = {number.model: number for number in published_linear("pets")}
    assert pets["MLCD L/14"].value == 0.953
    assert pets["MLCD L/14@336"].value == 0.9627
    assert {number.metric for number in pets.values()} == {"mean-per-class"}
    assert "mteb issue 5406" in pets["MLCD L/14"].source
    assert "mteb issue 5406" not in pets["UNICOM L/14"].source
    imagenet = {number.model: number.value for number in published_linear("imagenet")}
    assert imagenet == {"MLCD B/32": 0.791, "MLCD L/14@336": 0.863, "MLCD bigG": 0.871}
    assert published_linear(None) == []
    (first, *_, last) = published_knn("imagenet", "top-1, k=20")
    assert (first.model, first.value) == ("UNICOM B/32", 0.745)
    assert (last.model, last.value) == ("UNICOM L/14@336", 0.816)
    assert published_knn("cifar10", "top-1, k=20") == []


def test_every_published_set_has_a_number() -> None:
    assert [name for name in PUBLISHED if not published_linear(name)] == []
