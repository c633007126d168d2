"""The worst cases are the mistakes that were surest; the classes' table is a count."""

from __future__ import annotations

import numpy as np

from mlcd.core.datasets.labelled_set import LabelledSet
from mlcd.core.datasets.retrieval_set import LabelledImage
from mlcd.training.probes.exhibits import GAP, SIDE, class_table, picture_row, worst_pictures


def labelled(count: int) -> LabelledSet:
    images = [
        LabelledImage(f"{i}", i % 3, np.full((6, 6, 3), 20 * i, dtype=np.uint8))
        for i in range(count)
    ]
    return LabelledSet("toy", ["cat", "cow", "dog"], images, "d")


def sample(place: int, top: int, share: float, top_share: float = 0.9) -> dict[str, object]:
    return {
        "id": str(place),
        "label": place % 3,
        "top": [top, 0],
        "share": share,
        "top_share": top_share,
    }


def test_the_surest_mistake_comes_first_and_the_nearest_stand_beside() -> None:
    test = labelled(6)
    samples = [sample(0, 0, 0.9), sample(1, 0, 0.1, 0.3), sample(2, 1, 0.1), sample(3, 0, 0)]
    plain = worst_pictures(samples, test)
    assert [picture.caption.split(":")[0] for picture in plain] == ["2", "1"]
    assert plain[0].caption == "2: dog (0.100), taken for cow (0.900)"
    assert plain[0].image.shape == (SIDE, SIDE, 3)
    beside = worst_pictures([{**samples[2], "nearest": ["4", "1"]}], test, test)
    assert beside[0].caption.endswith("beside it the nearest: cow, cow")
    assert beside[0].image.shape == (SIDE, 3 * SIDE + 2 * GAP, 3)


def test_a_row_shows_each_picture_whole_in_its_place() -> None:
    wide = LabelledImage("w", 0, np.zeros((10, 40, 3), dtype=np.uint8))
    red = LabelledImage("r", 0, np.full((5, 5, 3), (200, 0, 0), dtype=np.uint8))
    row = picture_row([wide, red])
    assert (row[:50, :SIDE] == 255).all()
    assert (row[SIDE // 2, :SIDE] == 0).all()
    assert (row[:, SIDE : SIDE + GAP] == 255).all()
    assert (row[:, SIDE + GAP :] == (200, 0, 0)).all()


def test_the_worst_class_comes_first_with_what_it_is_taken_for() -> None:
    samples = [sample(0, 0, 1)] * 3 + [sample(1, 0, 1), sample(1, 2, 1), sample(1, 2, 1)]
    table = class_table(samples, ["cat", "cow", "dog"])
    assert table.rows == [["cow", 3, 0.0, "dog (2)"], ["cat", 3, 1.0, None]]
