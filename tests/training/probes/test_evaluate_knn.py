"""The evaluation counts what the votes say, survives kills, and names what it cannot measure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlcd.core.embedding import embed_images, table
from mlcd.core.results import Evaluation, load_result
from mlcd.training.probes import evaluate_knn as module
from mlcd.training.probes.evaluate_knn import KnnSettings, evaluate_knn
from mlcd.training.probes.features import Features
from mlcd.training.probes.knn import summarize, vote
from mlcd.training.probes.probe_set import ProbeSet

SETTINGS = KnnSettings(neighbours=(1, 5, 20), per_class=(2, 7), tries=3)


def embed(features: Features, probe_set: ProbeSet, side: str) -> np.ndarray:
    images = getattr(probe_set, side).images
    sources = [image.source for image in images]
    return np.concatenate([batch.embeddings for batch in embed_images(features, sources)])


def test_accuracies_are_those_of_the_votes(
    probe_set: ProbeSet, normalized: Features, tmp_path: Path
) -> None:
    result = evaluate_knn(probe_set, normalized, tmp_path / "result", SETTINGS)
    bank, queries = (embed(normalized, probe_set, side) for side in ("train", "test"))
    labels = np.array([image.label for image in probe_set.train.images])
    truth = np.array([image.label for image in probe_set.test.images])
    rows, votes = vote(queries, bank, labels, num_classes=3, neighbours=(1, 5, 20))
    for k in (1, 5, 20):
        expected = (votes[k].argmax(dim=1).numpy() == truth).mean()
        assert result.metrics[f"top-1, k={k}"] == pytest.approx(expected)
        among = (votes[k].numpy()[np.arange(len(truth)), truth] > 0).mean()
        assert result.metrics[f"top-5, k={k}"] == pytest.approx(among)
    assert 0.5 < result.metrics["top-1, k=20"] < 1
    samples = result.samples()
    assert samples[4]["nearest"] == [probe_set.train.images[row].id for row in rows[4, :5]]
    assert samples[4]["share"] == pytest.approx(float(votes[20][4, truth[4]]), abs=1e-6)
    assert result.metrics == pytest.approx(summarize(samples))
    assert set(result.intervals) == set(result.metrics)
    assert result.stamp.data_sha256 == probe_set.digest
    assert load_result(tmp_path / "result").metrics == result.metrics


def test_few_shot_numbers_are_means_over_draws_and_leave_out_a_k_of_more_pictures(
    probe_set: ProbeSet, normalized: Features, tmp_path: Path
) -> None:
    result = evaluate_knn(probe_set, normalized, tmp_path / "result", SETTINGS)
    names = [name for name in result.metrics if name.startswith("top-1, ")]
    assert names == [
        "top-1, k=1", "top-1, k=5", "top-1, k=20", "top-1, 2 a class, k=1",
        "top-1, 2 a class, k=5", "top-1, 7 a class, k=1", "top-1, 7 a class, k=5",
        "top-1, 7 a class, k=20",
    ]  # fmt: skip
    sample = result.samples()[0]
    assert len(sample["votes"]["2 a class, k=5"]) == 3
    (few_shot,) = [each for each in result.tables if each.title == "Few-shot"]
    by_name = {row[0]: row for row in few_shot.rows}
    name, mean, spread, worst, best = by_name["2 a class, k=5"]
    assert mean == pytest.approx(result.metrics[f"top-1, {name}"])
    assert worst - 1e-9 <= mean <= best + 1e-9  # sums in another order
    assert spread >= 0


def test_a_kill_between_samples_loses_nothing(
    probe_set: ProbeSet,
    normalized: Features,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = evaluate_knn(probe_set, normalized, tmp_path / "whole", SETTINGS)
    add, added = Evaluation.add, []

    def stopping(self: Evaluation, sample: dict[str, object]) -> None:
        if len(added) == 7:
            raise KeyboardInterrupt
        added.append(sample["id"])
        add(self, sample)

    monkeypatch.setattr(Evaluation, "add", stopping)
    with pytest.raises(KeyboardInterrupt):
        evaluate_knn(probe_set, normalized, tmp_path / "killed", SETTINGS)
    monkeypatch.setattr(Evaluation, "add", add)
    monkeypatch.setattr(
        table,
        "embed_images",
        lambda tower, sources, batch_size: pytest.fail("embedded again") if list(sources) else (),
    )
    result = evaluate_knn(probe_set, normalized, tmp_path / "killed", SETTINGS)
    assert result.samples() == whole.samples()
    assert len(result.runs) == 2
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == [
        "report.html",
        "result.json",
        "samples.jsonl",
    ]


def test_a_finished_evaluation_is_read_and_other_settings_are_refused(
    probe_set: ProbeSet,
    normalized: Features,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = evaluate_knn(probe_set, normalized, tmp_path / "result", SETTINGS)
    monkeypatch.setattr(module, "embed_table", lambda *_, **__: pytest.fail("embedded again"))
    again = evaluate_knn(probe_set, normalized, tmp_path / "result", SETTINGS)
    assert again.metrics == first.metrics
    other = KnnSettings(neighbours=(1, 5, 20), per_class=(2, 7), tries=3, temperature=1)
    with pytest.raises(ValueError, match="temperature"):
        evaluate_knn(probe_set, normalized, tmp_path / "result", other)


def test_the_report_shows_the_mistakes_beside_their_nearest(
    probe_set: ProbeSet, normalized: Features, tmp_path: Path
) -> None:
    evaluate_knn(probe_set, normalized, tmp_path / "result", SETTINGS)
    page = (tmp_path / "result" / "report.html").read_text()
    assert ", taken for " in page
    assert "beside it the nearest: " in page
    assert "weights softmax(cosine / 0.07)" in page


def test_what_cannot_be_voted_on_is_refused(
    probe_set: ProbeSet, normalized: Features, unnormalized: Features, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="expected normalised features"):
        evaluate_knn(probe_set, unnormalized, tmp_path / "a", SETTINGS)
    with pytest.raises(ValueError, match="60 pictures vote, fewer than the smallest k, 100"):
        evaluate_knn(probe_set, normalized, tmp_path / "a", KnnSettings(neighbours=(100, 200)))
    with pytest.raises(ValueError, match="class 0 has 20"):
        evaluate_knn(
            probe_set, normalized, tmp_path / "a", KnnSettings(neighbours=(1,), per_class=(21,))
        )
    with pytest.raises(ValueError, match="at least 1"):
        KnnSettings(neighbours=())
    with pytest.raises(ValueError, match="temperature"):
        KnnSettings(temperature=0)
    assert not (tmp_path / "a").exists()
