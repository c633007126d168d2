"""Single numbers of a recipe are changed by name, and only to values of their kind."""

from __future__ import annotations

import pytest

from mlcd.cli.overrides import overridden
from mlcd.training.recipes.toy_towers import mlcd_toy


def test_numbers_are_changed_also_within_the_tower() -> None:
    changed = overridden(
        mlcd_toy(),
        ["lr=1", "tower.depth=2", "loss.margin=0.1", "average_decay=0.9", "betas=(0.8, 0.9)",
         "schedule=cosine", "is_small=False"],
    )  # fmt: skip
    assert (changed.lr, type(changed.lr)) == (1.0, float)
    assert (changed.tower.depth, changed.loss.margin) == (2, 0.1)
    assert (changed.average_decay, changed.betas) == (0.9, (0.8, 0.9))
    assert (changed.schedule, changed.is_small) == ("cosine", False)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("lr", "expected field=value"),
        ("rate=1", "there is no 'rate'"),
        ("tower.layers=1", "there is no 'layers'"),
        ("lr.x=1", "lr has no fields of its own"),
        ("batch_size=many", "expected int as in 64, got 'many'"),
        ("batch_size=0", "batch_size, accumulate and num_labels of at least 1"),
    ],
)
def test_what_does_not_fit_is_refused(setting: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        overridden(mlcd_toy(), [setting])
