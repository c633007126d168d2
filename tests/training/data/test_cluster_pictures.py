"""Batches follow from the number of their step; what cannot be read is replaced and noted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from mlcd.core.images import ImageError, ImageSource
from mlcd.training.data.augmentation import Augmentation
from mlcd.training.data.cluster_pictures import ClusterPictures


@dataclass
class Grey:
    """Picture i is all of brightness i."""

    count: int = 10
    broken: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return self.count

    def read(self, index: int) -> ImageSource:
        if index in self.broken:
            raise ImageError("damaged")
        return np.full((8, 8, 3), index, np.uint8)

    def name(self, index: int) -> str:
        return f"grey {index}"

    def digest(self) -> str:
        return str(self)


def data(pictures: Grey, *, batch_size: int = 4) -> ClusterPictures:
    return ClusterPictures(
        pictures=pictures,
        labels=np.arange(len(pictures))[:, None] * np.ones((1, 2), np.int64),
        image_size=4,
        batch_size=batch_size,
        augmentation=Augmentation(),
        seed=3,
    )


def seen(made: ClusterPictures, steps: range) -> list[int]:
    batches = [made.batch(step, rank=0, ranks=1) for step in steps]
    return [int(image[0, 0, 0]) for batch in batches for image in batch.tensors["images"]]


def test_every_epoch_shows_every_picture_once_in_another_order() -> None:
    made = data(Grey())
    run = seen(made, range(5))  # two epochs of ten
    assert sorted(run[:10]) == sorted(run[10:]) == list(range(10))
    assert run[:10] != run[10:]


def test_labels_go_with_their_pictures() -> None:
    batch = data(Grey()).batch(1, rank=0, ranks=1)
    assert torch.equal(batch.tensors["images"][:, 0, 0, 0].long(), batch.tensors["labels"][:, 0])


def test_a_batch_is_the_same_for_any_number_of_ranks_and_whenever_it_is_asked_for() -> None:
    made = data(Grey())
    whole = made.batch(2, rank=0, ranks=1).tensors["images"]
    parts = [made.batch(2, rank=rank, ranks=2).tensors["images"] for rank in (0, 1)]
    assert torch.equal(whole, torch.cat(parts))
    assert torch.equal(whole, data(Grey()).batch(2, rank=0, ranks=1).tensors["images"])


def test_a_broken_picture_is_replaced_the_same_way_each_time_and_noted() -> None:
    made = data(Grey(broken=frozenset({4})))
    run = seen(made, range(5))
    assert run == seen(made, range(5))
    assert 4 not in run
    assert len(run) == 20
    assert max(Counter(run).values()) <= 4
    notes = [note for step in range(5) for note in made.batch(step, rank=0, ranks=1).skipped]
    assert notes == ["grey 4: damaged"] * 2


def test_a_store_that_is_gone_stops_the_run() -> None:
    with pytest.raises(ValueError, match=r"20 pictures one after the other .* grey .* damaged"):
        data(Grey(broken=frozenset(range(10)))).batch(0, rank=0, ranks=1)


def test_labels_of_other_pictures_and_uneven_ranks_are_refused() -> None:
    with pytest.raises(ValueError, match="for 10 pictures"):
        ClusterPictures(
            pictures=Grey(), labels=np.zeros((9, 1), np.int64), image_size=4, batch_size=4,
            augmentation=Augmentation(),
        )  # fmt: skip
    with pytest.raises(ValueError, match="to 3 ranks"):
        data(Grey()).batch(0, rank=0, ranks=3)
