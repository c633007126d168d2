"""The pictures of a probe: some to learn from, others to be tested on."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from mlcd.core.datasets.labelled_set import LabelledSet
from mlcd.training.probes.published import PUBLISHED


@dataclass(frozen=True, slots=True)
class ProbeSet:
    """Training and test pictures with the same classes in the same order.

    `published` claims that these are a published set, `imagenet` say: then the counts must be its
    counts, and the papers' numbers are shown beside ours. ValueError when something is not so.
    """

    train: LabelledSet
    test: LabelledSet
    validation: LabelledSet | None = None
    """Where the linear probe looks for its penalty; None: a part of `train` that it holds out."""
    published: str | None = None

    def __post_init__(self) -> None:
        for part in filter(None, (self.test, self.validation)):
            if list(part.classes) != list(self.train.classes):
                raise ValueError(_other_classes(self.train, part))
        if self.published is not None:
            if self.published not in PUBLISHED:
                raise ValueError(
                    f"no published set {self.published!r}; known: {', '.join(PUBLISHED)}"
                )
            counts = PUBLISHED[self.published]
            expected = counts.num_classes, counts.num_train, counts.num_test
            found = len(self.train.classes), self.num_train, len(self.test)
            if found != expected:
                raise ValueError(
                    f"{self.published} has {expected[0]:,} classes, {expected[1]:,} training and "
                    f"{expected[2]:,} test pictures; this set has {found[0]:,}, {found[1]:,} and "
                    f"{found[2]:,}"
                )

    @property
    def num_train(self) -> int:
        """Pictures that are learned from in the end, those for validation among them."""
        return len(self.train) + len(self.validation or ())

    @property
    def name(self) -> str:
        """What is learned from and what is tested."""
        return self.published or f"{self.train.name} -> {self.test.name}"

    @property
    def digest(self) -> str:
        """SHA-256 of what the parts consist of."""
        parts = [self.train, self.test, *filter(None, [self.validation])]
        return sha256(" ".join(part.digest for part in parts).encode()).hexdigest()


def _other_classes(train: LabelledSet, part: LabelledSet) -> str:
    differing = sorted(set(part.classes) ^ set(train.classes))
    what = (
        f"only one of them has {', '.join(differing[:3])}"
        if differing
        else "they are the same, in another order"
    )
    return (
        f"{train.name} has {len(train.classes)} classes and {part.name} has "
        f"{len(part.classes)}: {what}"
    )
