"""An evaluation gives the metrics of the loop, survives kills, and can be recomputed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlcd.apps.retrieval import protocols
from mlcd.apps.retrieval.metrics import summarize
from mlcd.apps.retrieval.protocols import evaluate, measure_embeddings
from mlcd.core.datasets.retrieval_set import LabelledImage, RetrievalSet
from mlcd.core.embedding import table
from mlcd.core.images import read_image
from mlcd.core.results import Evaluation, load_result
from mlcd.core.towers import VisionTower

Draw = Callable[[Path, int], Path]


@pytest.fixture
def alone(tmp_path: Path, picture: Draw) -> RetrievalSet:
    """Four classes of three pictures, which ask each other."""
    images = [
        LabelledImage(f"{i:02}", i % 4, picture(tmp_path / "set" / f"{i:02}.png", i))
        for i in range(12)
    ]
    return RetrievalSet("alone", images, None, digest="a" * 64)


@pytest.fixture
def apart(alone: RetrievalSet) -> RetrievalSet:
    """Queries as arrays against the pictures; one of them stands in the gallery too."""
    queries = [
        LabelledImage(f"q{i}", i, read_image(alone.gallery[i].source)[:, ::-1].copy())
        for i in range(4)
    ]
    return RetrievalSet("apart", alone.gallery, [*queries, alone.gallery[5]], digest="b" * 64)


def test_a_set_that_asks_itself_gives_the_metrics_of_its_embeddings(
    alone: RetrievalSet, tower: VisionTower, tmp_path: Path
) -> None:
    result = evaluate(alone, tower, tmp_path / "result")
    vectors = tower.embed([image.source for image in alone.gallery]).numpy()
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -1)
    labels = np.arange(12) % 4
    expected = (labels[similarity.argmax(axis=1)] == labels).mean()
    assert result.metrics["R@1"] == pytest.approx(expected)
    assert result.metrics == pytest.approx(measure_embeddings(alone, vectors, vectors))
    assert result.metrics == load_result(tmp_path / "result").metrics
    assert result.stamp.weights_sha256 == tower.weights_sha256()
    assert result.stamp.data_sha256 == alone.digest


def test_a_query_that_stands_in_the_gallery_is_no_hit_of_itself(
    apart: RetrievalSet, tower: VisionTower, tmp_path: Path
) -> None:
    samples = evaluate(apart, tower, tmp_path / "result").samples()
    by_id = {sample["id"]: sample for sample in samples}
    assert by_id["05"]["relevant"] == 2
    assert by_id["q1"]["relevant"] == 3
    assert "05" not in [name for name, _ in by_id["05"]["hits"]]


def test_every_metric_follows_from_the_samples_alone(
    apart: RetrievalSet, tower: VisionTower, tmp_path: Path
) -> None:
    result = evaluate(apart, tower, tmp_path / "result")
    lines = (tmp_path / "result" / "samples.jsonl").read_text().splitlines()
    assert summarize([json.loads(line) for line in lines]) == dict(result.metrics)
    assert sorted(path.name for path in (tmp_path / "result").iterdir()) == [
        "report.html",
        "result.json",
        "samples.jsonl",
    ]


@pytest.mark.parametrize("killed_after", [0, 1, 7, 11])
def test_an_evaluation_that_is_killed_at_a_sample_goes_on_there(
    killed_after: int,
    alone: RetrievalSet,
    tower: VisionTower,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = evaluate(alone, tower, tmp_path / "whole")
    add = Evaluation.add
    added: list[str] = []

    def add_or_die(self: Evaluation, sample: dict[str, object]) -> None:
        if len(added) == killed_after:
            os.kill(os.getpid(), signal.SIGKILL)
        added.append(str(sample["id"]))
        add(self, sample)

    child = os.fork()
    if child == 0:
        try:
            monkeypatch.setattr(Evaluation, "add", add_or_die)
            evaluate(alone, tower, tmp_path / "killed")
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    samples = tmp_path / "killed" / "samples.jsonl"
    before = samples.read_text()
    assert len(before.splitlines()) == killed_after

    monkeypatch.setattr(
        table,
        "embed_images",
        lambda tower, sources, batch_size: pytest.fail("embedded again") if list(sources) else (),
    )
    result = evaluate(alone, tower, tmp_path / "killed")
    assert samples.read_text().startswith(before)
    assert result.samples() == whole.samples()
    assert result.metrics == whole.metrics
    assert len(result.runs) == 2


def test_embeddings_that_were_made_before_the_kill_are_not_made_again(
    alone: RetrievalSet, tower: VisionTower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = table.embed_images
    seen: list[int] = []
    stops = [KeyboardInterrupt()]

    def stopping(tower: VisionTower, sources: list[Path], *, batch_size: int) -> object:
        for batch in embed(tower, sources, batch_size=batch_size):
            seen.append(len(batch.indices))
            yield batch
            if len(seen) == 2 and stops:
                raise stops.pop()

    monkeypatch.setattr(table, "embed_images", stopping)
    with pytest.raises(KeyboardInterrupt):
        evaluate(alone, tower, tmp_path / "result", batch_size=4)
    evaluate(alone, tower, tmp_path / "result", batch_size=4)
    assert seen == [4, 4, 4]


def test_a_finished_evaluation_is_read_and_not_run_again(
    alone: RetrievalSet, tower: VisionTower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = evaluate(alone, tower, tmp_path / "result")
    monkeypatch.setattr(protocols, "embed_table", lambda *_, **__: pytest.fail("embedded again"))
    assert evaluate(alone, tower, tmp_path / "result").metrics == first.metrics


def test_the_folder_of_another_measurement_is_refused(
    alone: RetrievalSet, tower: VisionTower, other_tower: VisionTower, tmp_path: Path
) -> None:
    evaluate(alone, tower, tmp_path / "result")
    with pytest.raises(ValueError, match="weights_sha256"):
        evaluate(alone, other_tower, tmp_path / "result")
    with pytest.raises(ValueError, match="data_sha256"):
        evaluate(replace(alone, digest="c" * 64), tower, tmp_path / "result")


def test_a_picture_that_cannot_be_read_stops_the_measurement_until_it_can(
    alone: RetrievalSet, tower: VisionTower, tmp_path: Path, picture: Draw
) -> None:
    path = Path(str(alone.gallery[3].source))
    path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"1 of 12 pictures cannot be read.*03\.png"):
        evaluate(alone, tower, tmp_path / "result", batch_size=1)
    picture(path, 3)
    assert evaluate(alone, tower, tmp_path / "result", batch_size=1).num_samples == 12


def test_the_report_shows_the_worst_queries(
    alone: RetrievalSet, tower: VisionTower, tmp_path: Path
) -> None:
    evaluate(alone, tower, tmp_path / "result")
    page = (tmp_path / "result" / "report.html").read_text()
    assert "first relevant picture" in page
    assert "against all others" in page


def test_ids_must_be_unique_and_both_sides_there() -> None:
    image = LabelledImage("1", 0, "1.png")
    with pytest.raises(ValueError, match="two pictures of the gallery have the same id"):
        RetrievalSet("twice", [image, image], None, digest="d")
    with pytest.raises(ValueError, match="needs a gallery and queries"):
        RetrievalSet("nobody asks", [image], [], digest="d")
