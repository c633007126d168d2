"""The published sets, their files, and which refs belong to a split."""

from __future__ import annotations

import pytest

from mlcd.core.datasets.refcoco_layout import LAYOUTS, Counts, find_layout, is_in_split


def test_phrases_add_up_to_the_published_totals() -> None:
    totals = {
        name: sum(counts.phrases or 0 for counts in find_layout(name).splits.values())
        for name in ("refcoco", "refcoco+", "refcocog")
    }
    assert totals == {"refcoco": 142_210, "refcoco+": 141_564, "refcocog": 95_010}


def test_each_set_has_its_files_and_the_splits_that_results_are_printed_for_come_first() -> None:
    assert {layout.refs_file for layout in LAYOUTS} == {
        "refcoco/refs(unc).p",
        "refcoco/refs(google).p",
        "refcoco+/refs(unc).p",
        "refcocog/refs(umd).p",
        "refcocog/refs(google).p",
        "grefcoco/grefs(unc).json",
    }
    assert find_layout("refcocog").by == "umd"
    assert find_layout("refcoco", "google").by == "google"


def test_other_names_are_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"expected one of refcoco, refcoco\+, refcocog, grefcoco"):
        find_layout("refcoco-plus")
    with pytest.raises(ValueError, match=r"refcoco\+ has no splits by 'google': expected unc"):
        find_layout("refcoco+", "google")


@pytest.mark.parametrize(
    ("name", "own", "splits"),
    [
        ("refcoco", "testA", {"testA"}),
        ("refcoco", "testAB", {"testA", "testB"}),
        ("refcoco", "train", {"train"}),
        ("refcocog", "test", {"test"}),
        ("grefcoco", "testA", {"testA"}),
        ("grefcoco", "testAB", set()),
    ],
)
def test_refs_belong_to_splits_as_the_refer_api_has_it(
    name: str, own: str, splits: set[str]
) -> None:
    layout = find_layout(name)
    assert {split for split in layout.splits if is_in_split(layout, own, split)} == splits


def test_counts_agree_where_they_were_published() -> None:
    assert Counts(5, 2, 9).agrees_with(Counts(5, 2, 9))
    assert Counts(5, 2, 9).agrees_with(Counts(images=2))
    assert not Counts(5, 2, 9).agrees_with(Counts(5, 2, 8))
    assert str(Counts(1200, None, 3)) == "1,200 refs, 3 phrases"
