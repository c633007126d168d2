"""The probe searches on validation, refits on both, and gives the best classes of each picture."""

from __future__ import annotations

import pytest
import torch

from mlcd.training.probes.linear import (
    Examples,
    LinearProbe,
    LinearSettings,
    Trial,
    choose_penalty,
)
from mlcd.training.probes.logistic import fit_logistic


def examples(count: int, seed: int, *, spread: float = 1.0) -> Examples:
    """Six overlapping classes in eight features of very different sizes."""
    draw = torch.Generator().manual_seed(seed)
    centers = torch.randn(6, 8, generator=torch.Generator().manual_seed(99))
    labels = torch.arange(count) % 6
    features = centers[labels] + spread * torch.randn(count, 8, generator=draw)
    return Examples(features * torch.tensor([1, 1, 1, 1, 30, 0.1, 1, 1]), labels)


def test_the_penalty_found_is_the_best_of_those_tried_and_noise_wants_a_large_one() -> None:
    trials: list[Trial] = []
    settings = LinearSettings(max_iterations=100)
    train, validation = examples(60, 0, spread=3), examples(300, 1, spread=3)
    penalty = choose_penalty(train, validation, 6, settings, on_trial=trials.append)
    best = max(trials, key=lambda trial: (trial.accuracy, trial.penalty))
    assert penalty == best.penalty
    probe = LinearProbe(train, 6, best.penalty, settings)
    is_right = probe.classify(validation.features) == validation.labels
    assert best.accuracy == pytest.approx(float(is_right.double().mean()))
    assert min(trial.accuracy for trial in trials) < best.accuracy


def test_trials_that_are_done_are_not_fitted_again() -> None:
    settings = LinearSettings(max_iterations=30)
    train, validation = examples(60, 0), examples(60, 1)
    whole: list[Trial] = []
    penalty = choose_penalty(train, validation, 6, settings, on_trial=whole.append)
    rest: list[Trial] = []
    again = choose_penalty(train, validation, 6, settings, done=whole[:8], on_trial=rest.append)
    assert again == penalty
    assert [trial.step for trial in rest] == [trial.step for trial in whole[8:]]


def test_the_best_five_and_the_share_of_the_label_are_the_probabilities() -> None:
    train, test = examples(90, 0), examples(30, 1)
    probe = LinearProbe(train, 6, 1.0, LinearSettings())
    fit = fit_logistic(train.features, train.labels, num_classes=6, penalty=1.0)
    expected = torch.softmax(test.features @ fit.weight + fit.bias, dim=1)
    best, shares, top_shares = zip(*probe.best(test), strict=True)
    assert list(best) == expected.argsort(dim=1, descending=True)[:, :5].tolist()
    own = expected[torch.arange(30), test.labels]
    torch.testing.assert_close(torch.tensor(shares), own)
    torch.testing.assert_close(torch.tensor(top_shares), expected.amax(dim=1))
    assert probe.classify(test.features).tolist() == [top[0] for top in best]


def test_standardized_features_make_the_units_of_a_feature_irrelevant() -> None:
    train, test = examples(90, 0), examples(40, 1)
    units = torch.tensor([5.0, 0.2, 1, 1, 3, 1, 100, 1])
    for is_standardized in (True, False):
        settings = LinearSettings(is_standardized=is_standardized, tolerance=1e-6)
        plain = LinearProbe(train, 6, 10.0, settings).probabilities(test.features)
        scaled = Examples(train.features * units, train.labels)
        other = LinearProbe(scaled, 6, 10.0, settings).probabilities(test.features * units)
        assert torch.allclose(plain, other, atol=1e-3) is is_standardized


def test_a_feature_that_never_changes_does_no_harm_when_standardized() -> None:
    train = examples(60, 0)
    train.features[:, 2] = 7.0
    probe = LinearProbe(train, 6, 1.0, LinearSettings(is_standardized=True))
    assert torch.isfinite(probe.probabilities(train.features)).all()


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="max_iterations: expected at least 1"):
        LinearSettings(max_iterations=0)
    with pytest.raises(ValueError, match="penalty: expected a number above 0"):
        LinearSettings(penalty=-1.0)
