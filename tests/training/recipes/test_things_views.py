"""What the things recipe sees: pairs of training things alone, the same for one seed and step."""

from __future__ import annotations

import pytest
import torch

from mlcd.playroom.things import training_things
from mlcd.training.heads.prototype_head import IGNORED_LABEL
from mlcd.training.recipes.things_views import ThingsViews


def views(**changes: object) -> ThingsViews:
    settings: dict[str, object] = {
        "num_steps": 5,
        "pairs": 10,
        "image_sizes": (24, 32),
        "small_share": 0.6,
        "seed": 0,
        "place_share": 0.2,
        "sign_weight": 0.4,
        "changed_share": (0.0, 1.0),
        "white_share": 0.5,
        "clutter_share": 0.5,
        "variation": (0.2, 0.6),
    }
    return ThingsViews(**{**settings, **changes})  # type: ignore[arg-type]


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    assert torch.equal(views()[3].images, views()[3].images)
    assert not torch.equal(views()[3].images, views()[2].images)
    assert not torch.equal(views()[3].images, views(seed=1)[3].images)


def test_pairs_are_things_in_two_styles_and_places() -> None:
    batch = views()[0]
    assert batch.images.shape == (2, 10, 24, 24, 3)
    assert batch.images.dtype == torch.uint8
    labels = batch.labels.tolist()
    assert labels[8:] == [IGNORED_LABEL] * 2
    assert len(set(labels[:8])) == 8
    assert all(not training_things()[label].is_test for label in labels[:8])
    assert all(not torch.equal(batch.images[0, row], batch.images[1, row]) for row in range(10))


def test_changed_identities_have_no_name_and_their_share_grows_over_the_run() -> None:
    first, last = views()[0].labels[:8], views()[4].labels[:8]
    assert (first != IGNORED_LABEL).all()
    assert (last == IGNORED_LABEL).sum() > 4  # now and then a change turns out to be none


def test_pictures_grow_when_the_small_share_of_the_steps_is_over() -> None:
    assert [views()[step].images.shape[2] for step in range(5)] == [24, 24, 24, 32, 32]


def test_signs_are_drawn_as_rarely_as_asked() -> None:
    seen = [label for step in range(5) for label in views(sign_weight=0.0)[step].labels.tolist()]
    assert not any(training_things()[label].is_sign for label in seen if label != IGNORED_LABEL)


def test_more_pairs_than_things_are_refused() -> None:
    with pytest.raises(ValueError, match="each thing once"):
        views(pairs=5000)
