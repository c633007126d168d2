"""What the things recipe sees: pairs of training things alone, the same for one seed and step."""

from __future__ import annotations

import pytest
import torch

from mlcd.playroom.things import training_things
from mlcd.training.heads.prototype_head import IGNORED_LABEL
from mlcd.training.recipes.things_identity import Change
from mlcd.training.recipes.things_views import (
    ThingsViews,
    described,
    plain_sights,
    things_metric,
)


def views(**changes: object) -> ThingsViews:
    settings: dict[str, object] = {
        "num_steps": 5,
        "pairs": 10,
        "image_size": 32,
        "target_dim": 16,
        "seed": 0,
        "place_share": 0.2,
        "sign_weight": 0.4,
        "changed_share": 0.5,
        "white_share": 0.5,
        "clutter_share": 0.5,
        "variation": 0.4,
    }
    return ThingsViews(**{**settings, **changes})  # type: ignore[arg-type]


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    assert torch.equal(views()[3].images, views()[3].images)
    assert not torch.equal(views()[3].images, views()[2].images)
    assert not torch.equal(views()[3].images, views(seed=1)[3].images)


def test_pairs_are_things_in_two_styles_and_places() -> None:
    batch = views(changed_share=0.0)[0]
    assert batch.images.shape == (2, 10, 32, 32, 3)
    assert batch.images.dtype == torch.uint8
    labels = batch.labels.tolist()
    assert labels[8:] == [IGNORED_LABEL] * 2
    assert len(set(labels[:8])) == 8
    assert all(not training_things()[label].is_test for label in labels[:8])
    assert all(not torch.equal(batch.images[0, row], batch.images[1, row]) for row in range(10))


def test_changed_identities_have_no_name() -> None:
    labels = views(changed_share=0.0)[0].labels[:8]
    assert (labels != IGNORED_LABEL).all()
    labels = views(changed_share=1.0)[0].labels[:8]
    assert (labels == IGNORED_LABEL).sum() > 4  # now and then a change turns out to be none


def test_a_pair_shares_its_target_whatever_the_views_vary() -> None:
    quiet = views(changed_share=0.0, place_share=0.0)[0]
    lengths = quiet.targets.norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(10))
    for row, label in enumerate(quiet.labels.tolist()):
        sights = plain_sights(training_things()[label], Change())
        first, second = (things_metric(16)(described(side[None])) for side in sights)
        torch.testing.assert_close(
            quiet.targets[row], torch.nn.functional.normalize(first + second)[0]
        )


def test_signs_are_drawn_as_rarely_as_asked() -> None:
    seen = [label for step in range(5) for label in views(sign_weight=0.0)[step].labels.tolist()]
    assert not any(training_things()[label].is_sign for label in seen if label != IGNORED_LABEL)


def test_more_pairs_than_things_are_refused() -> None:
    with pytest.raises(ValueError, match="each thing once"):
        views(pairs=5000)
