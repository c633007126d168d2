"""Pictures and their places are counted against each other, in messages and in data sets."""

from __future__ import annotations

import numpy as np
import pytest

from mlcd.core.language.messages import content_parts, pictures_in, read_messages

IMAGE = np.zeros((2, 3, 3), np.uint8)
OTHER = np.ones((2, 3, 3), np.uint8)


def test_pictures_are_taken_from_their_places_and_from_a_list_in_order() -> None:
    content = [{"type": "image"}, {"type": "image", "image": IMAGE}, {"type": "image"}]
    turns = read_messages([{"role": "user", "content": content}])
    assert turns[0].num_pictures == 3
    found = pictures_in(turns, [OTHER, "a.png"])
    assert found[0] is OTHER
    assert found[1] is IMAGE
    assert found[2] == "a.png"


@pytest.mark.parametrize(("places", "images"), [(2, 1), (1, 2), (0, 1), (1, 0)])
def test_both_counts_are_named_where_they_differ(places: int, images: int) -> None:
    content = [{"type": "text", "text": "?"}, *[{"type": "image"}] * places]
    turns = read_messages([{"role": "user", "content": content}])
    with pytest.raises(ValueError, match=f"{places} placeholders .* for {images} pictures"):
        pictures_in(turns, [IMAGE] * images)


def test_placeholders_of_a_data_set_become_parts() -> None:
    assert content_parts("<image>\nWhat? <image>") == [
        {"type": "image"},
        {"type": "text", "text": "\nWhat? "},
        {"type": "image"},
    ]
    assert content_parts("What?") == [{"type": "text", "text": "What?"}]
    assert content_parts("") == []
