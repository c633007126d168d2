"""Random crops hold at least the share asked for, and follow from the generator."""

from __future__ import annotations

import numpy as np
import pytest

from mlcd.training.data.augmentation import Augmentation

COLUMNS = np.broadcast_to(np.arange(60, dtype=np.uint8)[None, :, None] * 4, (40, 60, 3)).copy()


def test_the_same_generator_gives_the_same_picture() -> None:
    cut = Augmentation(min_area=0.2)
    first, again, other = (cut(COLUMNS, 16, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == (16, 16, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_crops_are_not_smaller_than_asked() -> None:
    cut = Augmentation(min_area=0.5, mirror_share=0)
    for seed in range(50):
        row = cut(COLUMNS, 60, np.random.default_rng(seed))[0, :, 0].astype(float)
        width = (row[-1] - row[0]) / 4  # in pixels of the picture
        assert width > 0.5 * 60 * 40 / 40 * 0.8  # half the area at full height, and some rounding


def test_half_of_the_pictures_are_mirrored() -> None:
    cut = Augmentation(min_area=0.9)
    rises = [
        int(made[0, -1, 0]) > int(made[0, 0, 0])
        for made in (cut(COLUMNS, 8, np.random.default_rng(seed)) for seed in range(60))
    ]
    assert 18 < sum(rises) < 42


def test_the_whole_area_is_the_square_in_the_centre() -> None:
    made = Augmentation(min_area=1, mirror_share=0)(COLUMNS, 40, np.random.default_rng(0))
    assert np.array_equal(made, COLUMNS[:, 10:50])


def test_shares_outside_of_zero_to_one_are_refused() -> None:
    with pytest.raises(ValueError, match="min_area"):
        Augmentation(min_area=0)
