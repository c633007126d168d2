"""An album gives every picture and view by number, of training things alone."""

from __future__ import annotations

import numpy as np

from mlcd.playroom.album import Album

ALBUM = Album(seed=3)
NUMBERS = range(60)


def test_a_picture_and_a_view_are_functions_of_their_numbers() -> None:
    for number in range(5):
        assert np.array_equal(ALBUM.plain(number, 32), Album(seed=3).plain(number, 32))
        assert np.array_equal(ALBUM.view(number, 7, 32), Album(seed=3).view(number, 7, 32))


def test_numbers_seeds_and_views_differ() -> None:
    assert not np.array_equal(ALBUM.plain(0, 32), ALBUM.plain(1, 32))
    assert not np.array_equal(ALBUM.plain(0, 32), Album(seed=4).plain(0, 32))
    assert not np.array_equal(ALBUM.view(0, 0, 32), ALBUM.view(0, 1, 32))


def test_every_kind_of_picture_comes_in_about_its_share() -> None:
    counts = [len(ALBUM.things(number)) for number in range(2000)]
    assert abs(sum(count == 0 for count in counts) / 2000 - ALBUM.place_share) < 0.03
    crowds = sum(count > 1 for count in counts) / (2000 - counts.count(0))
    assert abs(crowds - ALBUM.crowd_share) < 0.05
    assert set(counts) == {0, 1, 2, 3, 4}


def test_no_picture_shows_a_test_thing() -> None:
    shown = {placed.thing for number in range(500) for placed in ALBUM.things(number)}
    assert len(shown) > 300
    assert not any(thing.is_test for thing in shown)


def test_the_plain_sight_of_things_lies_on_white() -> None:
    for number in NUMBERS:
        if len(ALBUM.things(number)) == 1:
            corner = ALBUM.plain(number, 64)[0, 0]
            assert (corner > 200).all(), number


def test_a_view_shows_the_things_of_its_picture() -> None:
    """On white and hardly varied, a view is nearer to its own plain sight than to others'."""
    album = Album(seed=1, white_share=1.0, variation=0.05, crowd_share=0.0, place_share=0.0)
    plain = np.stack([album.plain(number, 32) for number in range(20)]).reshape(20, -1)
    views = np.stack([album.view(number, 0, 32) for number in range(20)]).reshape(20, -1)
    distances = np.abs(plain[None].astype(int) - views[:, None]).sum(axis=2)
    assert (distances.argmin(axis=1) == np.arange(20)).mean() > 0.9
