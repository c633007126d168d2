"""Masks in files have the size of their picture, and a box has its last pixel inside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlcd.core.images import ImageError
from mlcd.core.masks import mask_box, read_mask, write_mask


def test_a_mask_comes_back_from_its_file(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).random((13, 21)) < 0.4
    write_mask(mask, tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png", (13, 21)), mask)


def test_a_mask_file_of_another_size_than_its_picture_is_refused(tmp_path: Path) -> None:
    write_mask(np.ones((10, 20), bool), tmp_path / "mask.png")
    with pytest.raises(
        ValueError, match=r"mask\.png: a mask of 20 x 10 pixels for a picture of 10 x 20"
    ):
        read_mask(tmp_path / "mask.png", (20, 10))


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"mask\.png"):
        read_mask(tmp_path / "mask.png", (1, 1))


def test_the_box_goes_past_the_last_pixel() -> None:
    mask = np.zeros((9, 12), bool)
    assert mask_box(mask) is None
    mask[2, 3] = mask[5, 10] = True
    assert mask_box(mask) == (3.0, 2.0, 11.0, 6.0)
    assert mask_box(np.ones((4, 6), bool)) == (0.0, 0.0, 6.0, 4.0)
