"""An overlay keeps the size, shows the mask and dims the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.core.language.toy_models import speckled

from mlcd.apps.seg.overlay import COLOUR, draw_overlay, write_overlay
from mlcd.core.images import read_image


def test_the_mask_is_brighter_than_the_rest_and_edged() -> None:
    image = np.full((60, 80, 3), 100, np.uint8)
    mask = np.zeros((60, 80), bool)
    mask[10:30, 20:60] = True
    drawn = draw_overlay(image, mask)
    assert drawn.shape == image.shape
    assert np.array_equal(drawn[0, 0], (60, 60, 60))
    assert np.array_equal(drawn[10, 40], COLOUR)
    assert not np.array_equal(drawn[20, 40], COLOUR)
    assert drawn[20, 40, 1] > 100
    assert np.array_equal(draw_overlay(image, None), np.full((60, 80, 3), 60))


def test_the_border_of_the_picture_is_no_edge() -> None:
    image = speckled(9, 7)
    drawn = draw_overlay(image, np.ones((7, 9), bool))
    assert not (drawn == np.array(COLOUR)).all(axis=-1).any()


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a mask of \(4, 9\) for a picture of \(9, 4\)"):
        draw_overlay(speckled(4, 9), np.ones((4, 9), bool))


def test_it_is_written_as_a_picture(tmp_path: Path) -> None:
    image, mask = speckled(30, 20), np.eye(20, 30, dtype=bool)
    write_overlay(image, mask, tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), draw_overlay(image, mask))
