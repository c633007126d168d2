"""The list of names: enough of them, each for one thing, and none that could mean another."""

from __future__ import annotations

from collections import Counter

import pytest

from mlcd.playroom.names import Name, all_names, all_uses, categories, name_of

NAMES = all_names()


def test_there_are_at_least_120_names_each_for_a_thing_of_its_own() -> None:
    assert len(NAMES) >= 120
    assert len({name.text for name in NAMES}) == len(NAMES)
    assert len({name.thing.code for name in NAMES}) == len(NAMES)
    assert all(name.text.isalpha() and name.text.islower() for name in NAMES)


def test_what_is_accepted_for_one_name_is_no_other_name() -> None:
    texts = {name.text for name in NAMES}
    assert not [(name.text, a) for name in NAMES for a in name.accepted if a in texts]


def test_lookalikes_are_mutual() -> None:
    for name in NAMES:
        assert name.text not in name.lookalikes
        for other in name.lookalikes:
            assert name.text in name_of(other).lookalikes


@pytest.mark.parametrize("is_test", [False, True])
def test_both_rows_of_the_style_test_have_names_of_every_category(is_test: bool) -> None:
    row = [name for name in NAMES if name.thing.is_test == is_test]
    assert len(row) >= 50
    counts = Counter(name.category for name in row)
    assert set(counts) == set(categories())


def test_a_purpose_tells_no_name_since_several_things_serve_it() -> None:
    for use in all_uses():
        assert len(set(use.names)) >= 3, use.purpose
        assert not set(use.names) & use.unclear
        for text in (*use.names, *use.unclear):
            assert isinstance(name_of(text), Name)


def test_an_unknown_name_is_said() -> None:
    with pytest.raises(ValueError, match="'gnu' is no name"):
        name_of("gnu")
