"""A set whose pictures each show one of a few classes, whatever layout it was read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from mlcd.core.datasets.retrieval_set import LabelledImage


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """Pictures whose `label` is a place in `classes`, the names of what they show.

    `digest` is the SHA-256 of what the set consists of; equal digests mean the same set.
    """

    name: str
    classes: Sequence[str]
    images: Sequence[LabelledImage]
    digest: str

    def __post_init__(self) -> None:
        if not self.images:
            raise ValueError(f"{self.name}: a labelled set needs at least one picture")
        if len({image.id for image in self.images}) < len(self.images):
            raise ValueError(f"{self.name}: two pictures have the same id")
        for image in self.images:
            if not 0 <= image.label < len(self.classes):
                raise ValueError(
                    f"{self.name}: picture {image.id} has label {image.label}, expected one of "
                    f"{len(self.classes)} classes"
                )

    def __len__(self) -> int:
        return len(self.images)


def hold_out(labelled: LabelledSet, share: float, *, seed: int) -> tuple[LabelledSet, LabelledSet]:
    """The set without a random `share` of each class, and that share; both in the set's order.

    Every class that has two pictures or more gives at least one and keeps at least one; a lone
    picture stays. ValueError: a share that is not between 0 and 1, or no class with two pictures.
    """
    if not 0 < share < 1:
        raise ValueError(f"share to hold out: expected more than 0 and less than 1, got {share}")
    labels = np.array([image.label for image in labelled.images])
    draw = np.random.default_rng(seed)
    is_held = np.zeros(len(labels), dtype=bool)
    for label in range(len(labelled.classes)):
        members = np.flatnonzero(labels == label)
        count = min(max(1, round(share * len(members))), len(members) - 1)
        is_held[draw.permutation(members)[: max(count, 0)]] = True
    if not is_held.any():
        raise ValueError(
            f"{labelled.name}: no class has two pictures, so none can be held out; give a set for "
            f"testing"
        )
    return _part(labelled, ~is_held, f"all but {share:g}, seed {seed}"), _part(
        labelled, is_held, f"{share:g} held out, seed {seed}"
    )


def _part(labelled: LabelledSet, is_in: NDArray[np.bool_], which: str) -> LabelledSet:
    images = [labelled.images[i] for i in np.flatnonzero(is_in).tolist()]
    text = "\n".join([labelled.digest, *(image.id for image in images)])
    digest = sha256(text.encode(errors="surrogateescape")).hexdigest()
    return LabelledSet(f"{labelled.name} ({which})", labelled.classes, images, digest)
