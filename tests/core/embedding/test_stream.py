"""`embed_images`: every readable source gets its row, in order, whatever lies beside it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from tests.core.embedding.toy_tower import ToyTower

from mlcd.core.embedding import embed_images, stream
from mlcd.core.images import list_images, read_image
from mlcd.core.towers import VisionTower, presets


@pytest.fixture(params=["taking turns", "side by side"], autouse=True)
def schedule(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test runs with the order of work of a tower on the CPU and of one on an accelerator."""
    is_cpu = request.param == "taking turns"
    monkeypatch.setattr(stream, "_computes_on_cpu", lambda tower: is_cpu)
    return str(request.param)


def one_by_one(tower: ToyTower, paths: list[Path]) -> np.ndarray:
    rows = [tower.embed_pixels(tower.config.preprocess.batch([path]))[0] for path in paths]
    return torch.stack(rows).numpy()


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (7, 3), (25, None), (64, 2)])
def test_rows_equal_those_of_the_pictures_one_by_one(
    pictures: Path, batch_size: int, workers: int | None
) -> None:
    tower, paths = ToyTower(), list_images(pictures)
    batches = list(embed_images(tower, paths, batch_size=batch_size, workers=workers))
    assert max(tower.batch_sizes) <= batch_size
    assert np.concatenate([batch.indices for batch in batches]).tolist() == list(range(50))
    assert [batch.stop for batch in batches][-1] == 50
    embeddings = np.concatenate([batch.embeddings for batch in batches])
    assert embeddings.dtype == np.float32
    assert np.abs(embeddings - one_by_one(tower, paths)).max() < 1e-6
    assert np.abs(np.linalg.norm(embeddings, axis=1) - 1).max() < 1e-6


def test_sources_of_every_kind_give_the_same_row(pictures: Path) -> None:
    path = list_images(pictures)[0]
    sources = [path, str(path), path.read_bytes(), read_image(path), PIL.Image.open(path)]
    (batch,) = embed_images(ToyTower(), sources)
    assert (batch.embeddings == batch.embeddings[0]).all()


def test_unreadable_sources_fail_alone_and_are_named(pictures: Path) -> None:
    tower, paths = ToyTower(), list_images(pictures)
    for index in (0, 20, 21, 22, 23, 49):
        paths[index].write_bytes(b"no picture")
    batches = list(embed_images(tower, paths, batch_size=4))
    failures = [failure for batch in batches for failure in batch.failures]
    assert [index for index, _ in failures] == [0, 20, 21, 22, 23, 49]
    assert all(paths[index].name in str(error) for index, error in failures)
    assert 0 not in tower.batch_sizes  # a batch without a picture never reaches the tower
    good = [path for index, path in enumerate(paths) if index not in dict(failures)]
    embeddings = np.concatenate([batch.embeddings for batch in batches if len(batch.indices)])
    assert np.abs(embeddings - one_by_one(tower, good)).max() < 1e-6


def test_a_row_that_is_not_finite_is_a_failure_of_its_picture(pictures: Path) -> None:
    tower, paths = ToyTower(), list_images(pictures)
    embed_pixels = tower.embed_pixels

    def overflowing(pixels: torch.Tensor) -> torch.Tensor:
        embeddings = embed_pixels(pixels).clone()
        embeddings[1, 3] = float("nan")
        return embeddings

    tower.embed_pixels = overflowing  # type: ignore[method-assign]
    (batch,) = embed_images(tower, paths[:5])
    assert batch.indices.tolist() == [0, 2, 3, 4]
    assert len(batch.embeddings) == 4
    ((index, error),) = batch.failures
    assert index == 1
    assert "no finite numbers" in str(error)
    assert str(paths[1]) in str(error)


def test_sources_are_taken_only_a_few_batches_ahead(pictures: Path, schedule: str) -> None:
    path = list_images(pictures)[0]
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        while True:
            taken += 1
            yield path

    ahead = 0 if schedule == "taking turns" else 2 * 4 * 3  # twice the workers, in batches
    for count, _ in enumerate(embed_images(ToyTower(), endless(), batch_size=4, workers=3), 1):
        assert taken <= 4 * count + ahead
        if count == 20:
            break


def test_leaving_early_leaves_no_thread_behind(pictures: Path) -> None:
    stream = embed_images(ToyTower(), list_images(pictures) * 10, batch_size=4, workers=3)
    next(stream)
    stream.close()
    assert not [item for item in threading.enumerate() if "ordered-map" in item.name]


def test_a_real_tower_gives_what_its_own_embed_gives(pictures: Path) -> None:
    torch.manual_seed(0)
    tower, paths = VisionTower(presets.things_tiny()).eval(), list_images(pictures)[:6]
    (batch,) = embed_images(tower, paths)
    assert np.abs(batch.embeddings - tower.embed(paths).numpy()).max() < 1e-6


def test_no_sources_give_no_batches_and_an_empty_batch_is_refused() -> None:
    assert list(embed_images(ToyTower(), [])) == []
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        embed_images(ToyTower(), [], batch_size=0)
