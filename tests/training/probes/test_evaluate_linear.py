"""The evaluation is CLIP's protocol step by step, and goes on after a kill in the search."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mlcd.core.datasets.labelled_set import hold_out
from mlcd.core.embedding import embed_images, table
from mlcd.core.results import load_result
from mlcd.training.probes import evaluate_linear as module
from mlcd.training.probes.evaluate_linear import evaluate_linear
from mlcd.training.probes.features import Features
from mlcd.training.probes.linear import Examples, LinearProbe, LinearSettings, Trial
from mlcd.training.probes.metrics import summarize
from mlcd.training.probes.probe_set import ProbeSet

SETTINGS = LinearSettings(max_iterations=60, validation_share=0.25)


def examples(features: Features, probe_set: ProbeSet, side: str) -> Examples:
    part = getattr(probe_set, side)
    sources = [image.source for image in part.images]
    embeddings = [batch.embeddings for batch in embed_images(features, sources)]
    labels = torch.tensor([image.label for image in part.images])
    return Examples(torch.from_numpy(np.concatenate(embeddings)), labels)


def test_a_given_penalty_is_fitted_to_all_training_pictures(
    probe_set: ProbeSet, unnormalized: Features, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, penalty=1.0)
    result = evaluate_linear(probe_set, unnormalized, tmp_path / "result", settings)
    train, test = (examples(unnormalized, probe_set, side) for side in ("train", "test"))
    probe = LinearProbe(train, 3, 1.0, settings)
    expected = (probe.classify(test.features) == test.labels).double().mean()
    assert result.metrics["accuracy"] == pytest.approx(float(expected))
    assert result.metrics == pytest.approx(summarize(result.samples()))
    shares = [sample["share"] for sample in result.samples()]
    expected_shares = [guess.share for guess in probe.best(test)]
    np.testing.assert_allclose(shares, expected_shares, atol=1e-5)
    assert result.stamp.settings["penalty"] == 1
    assert "scikit-learn's C = 1 / penalty" in result.stamp.protocol
    assert load_result(tmp_path / "result").metrics == result.metrics


def test_the_penalty_is_searched_on_what_is_held_out_and_the_last_fit_is_of_all(
    probe_set: ProbeSet, unnormalized: Features, tmp_path: Path
) -> None:
    trials: list[Trial] = []
    result = evaluate_linear(
        probe_set, unnormalized, tmp_path / "result", SETTINGS, on_trial=trials.append
    )
    rest, validation = hold_out(probe_set.train, 0.25, seed=0)
    apart = ProbeSet(rest, probe_set.test, validation)
    train, held, test = (
        examples(unnormalized, apart, side) for side in ("train", "validation", "test")
    )
    for trial in trials:
        probe = LinearProbe(train, 3, trial.penalty, SETTINGS)
        is_right = probe.classify(held.features) == held.labels
        assert trial.accuracy == pytest.approx(float(is_right.double().mean()))
    best = max(trials, key=lambda trial: (trial.accuracy, trial.penalty))
    final = LinearProbe(train + held, 3, best.penalty, SETTINGS)
    expected_tops = [guess.top for guess in final.best(test)]
    assert [sample["top"] for sample in result.samples()] == expected_tops
    (fits,) = [each for each in result.tables if each.title == "Fits"]
    assert len(fits.rows) == len(trials) + 1
    assert fits.rows[-1][0] == f"{best.penalty:.3g}, final"
    assert f"C = {1 / best.penalty:.6g}" in fits.note


def test_pictures_for_validation_are_taken_where_the_set_has_them(
    probe_set: ProbeSet, unnormalized: Features, tmp_path: Path
) -> None:
    rest, validation = hold_out(probe_set.train, 0.25, seed=0)
    own = ProbeSet(rest, probe_set.test, validation)
    result = evaluate_linear(own, unnormalized, tmp_path / "own", SETTINGS)
    held = evaluate_linear(probe_set, unnormalized, tmp_path / "held", SETTINGS)
    assert result.metrics == held.metrics
    assert "held out" not in result.stamp.protocol.split(" on 15 pictures")[1]
    assert ", held out of the training pictures by class" in held.stamp.protocol


def test_a_kill_in_the_search_loses_the_fit_in_hand_alone(
    probe_set: ProbeSet,
    unnormalized: Features,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    all_trials: list[Trial] = []
    whole = evaluate_linear(
        probe_set, unnormalized, tmp_path / "whole", SETTINGS, on_trial=all_trials.append
    )
    seen: list[Trial] = []

    def stopping(trial: Trial) -> None:
        seen.append(trial)
        if len(seen) == 9:
            raise KeyboardInterrupt

    folder = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        evaluate_linear(probe_set, unnormalized, folder, SETTINGS, on_trial=stopping)
    monkeypatch.setattr(
        table,
        "embed_images",
        lambda tower, sources, batch_size: pytest.fail("embedded again") if list(sources) else (),
    )
    rest: list[Trial] = []
    result = evaluate_linear(probe_set, unnormalized, folder, SETTINGS, on_trial=rest.append)
    assert [trial.step for trial in seen + rest] == [trial.step for trial in all_trials]
    assert result.samples() == whole.samples()
    assert sorted(path.name for path in folder.iterdir()) == [
        "report.html",
        "result.json",
        "samples.jsonl",
    ]


def test_a_finished_evaluation_is_read_and_other_settings_are_refused(
    probe_set: ProbeSet,
    unnormalized: Features,
    normalized: Features,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = replace(SETTINGS, penalty=1.0)
    first = evaluate_linear(probe_set, unnormalized, tmp_path / "result", settings)
    monkeypatch.setattr(module, "embed_table", lambda *_, **__: pytest.fail("embedded again"))
    again = evaluate_linear(probe_set, unnormalized, tmp_path / "result", settings)
    assert again.metrics == first.metrics
    other = replace(settings, penalty=2.0)
    with pytest.raises(ValueError, match=r"penalty is 1.* there and 2"):
        evaluate_linear(probe_set, unnormalized, tmp_path / "result", other)
    with pytest.raises(ValueError, match=r"features is .*as it is.* there and .*L2-normalised"):
        evaluate_linear(probe_set, normalized, tmp_path / "result", settings)


def test_a_picture_that_cannot_be_read_stops_the_measurement(
    probe_set: ProbeSet, unnormalized: Features, tmp_path: Path
) -> None:
    Path(str(probe_set.train.images[3].source)).write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"cannot be read.*03\.png"):
        evaluate_linear(probe_set, unnormalized, tmp_path / "result", SETTINGS)
