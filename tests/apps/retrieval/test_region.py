"""A region is the pixels that its box touches, and lies inside of the picture."""

from __future__ import annotations

import numpy as np
import pytest

from mlcd.apps.retrieval.region import Region, crop_region

PICTURE = np.arange(10 * 20 * 3, dtype=np.uint8).reshape(10, 20, 3)


def test_whole_pixels_are_cut_at_their_borders() -> None:
    np.testing.assert_array_equal(crop_region(PICTURE, (3, 2, 8, 9)), PICTURE[2:9, 3:8])
    np.testing.assert_array_equal(crop_region(PICTURE, (0, 0, 20, 10)), PICTURE)


def test_a_pixel_that_the_box_touches_belongs_to_it() -> None:
    np.testing.assert_array_equal(crop_region(PICTURE, (3.9, 2.5, 4.1, 2.6)), PICTURE[2:3, 3:5])


@pytest.mark.parametrize(
    "region", [(5, 2, 5, 8), (8, 2, 3, 9), (-1, 0, 4, 4), (0, 0, 21, 10), (0, 0, 20, 10.5)]
)
def test_a_box_that_is_empty_or_reaches_outside_is_refused_with_the_size(region: Region) -> None:
    with pytest.raises(ValueError, match="inside of a picture 20 wide and 10 high"):
        crop_region(PICTURE, region)


def test_a_box_of_no_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="expected x0, y0, x1, y1"):
        crop_region(PICTURE, (0, 0, float("nan"), 5))
