"""Features belong to their pictures, with and without texts, whatever could not be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.core.embedding.toy_tower import ToyTower
from tests.training.clusters.conftest import UNREADABLE, picture, text_embedding

from mlcd.core.pictures import open_pictures
from mlcd.core.shards import ShardWriter
from mlcd.training.clusters.features import (
    FeatureSet,
    FeatureSettings,
    given_features,
    open_features,
    tower_features,
)


def embedded(number: int) -> np.ndarray:
    tower = ToyTower()
    return tower.embed_pixels(tower.config.preprocess.batch([picture(number)])).numpy()[0]


def test_every_row_is_its_pictures_embedding(shards: Path, tmp_path: Path) -> None:
    features = tower_features(ToyTower(), open_pictures(shards), tmp_path / "out", batch_size=7)
    rows = features.open()
    assert features.failed.tolist() == list(UNREADABLE)
    assert rows.shape == (47, 8)
    for row in range(47):
        assert np.abs(rows[row] - embedded(features.picture_of(row))).max() < 1e-6


def test_a_second_run_computes_nothing(shards: Path, tmp_path: Path) -> None:
    first = tower_features(ToyTower(), open_pictures(shards), tmp_path / "out")
    tower = ToyTower()
    again = tower_features(tower, open_pictures(shards), tmp_path / "out")
    assert tower.batch_sizes == []
    assert again.failed.tolist() == first.failed.tolist()
    assert again.stamp == first.stamp


@pytest.mark.parametrize(("number_type", "error"), [("float32", 1e-6), ("float16", 1e-3)])
def test_with_texts_a_row_is_the_normalised_mean_of_both(
    shards: Path, tmp_path: Path, number_type: str, error: float
) -> None:
    settings = FeatureSettings(text_field="clip", number_type=number_type)  # type: ignore[arg-type]
    features = tower_features(ToyTower(), open_pictures(shards), tmp_path / "out", settings)
    rows = features.open()
    assert rows.dtype == number_type
    for row in range(47):
        number = features.picture_of(row)
        text = text_embedding(number)
        mean = (embedded(number) + text / np.linalg.norm(text)) / 2
        assert np.abs(rows[row] - mean / np.linalg.norm(mean)).max() < error


def test_a_missing_or_misshapen_text_embedding_names_its_picture(
    shards: Path, tmp_path: Path
) -> None:
    def embed(source: Path, text_field: str) -> FeatureSet:
        settings = FeatureSettings(text_field=text_field)
        return tower_features(ToyTower(), open_pictures(source), tmp_path / "out", settings)

    with pytest.raises(
        ValueError, match=r"00000\.tar/000000000: carries no text embedding 'other'"
    ):
        embed(shards, "other")
    with pytest.raises(ValueError, match=r"expected a text embedding of 8 finite numbers.*\(\)"):
        embed(shards, "n")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.png").write_bytes(picture(0))
    with pytest.raises(ValueError, match="only shards carry text embeddings"):
        embed(folder, "clip")


@pytest.mark.parametrize("value", ["words", [1, "x"], {"a": 1}, [float("nan")] * 8, [0.0] * 8])
def test_a_text_embedding_of_no_numbers_is_an_error(tmp_path: Path, value: object) -> None:
    with ShardWriter(tmp_path / "shards") as writer:
        writer.write(picture(0), suffix="png", json={"clip": value})
    settings = FeatureSettings(text_field="clip")
    with pytest.raises(ValueError, match=r"00000\.tar/000000000: "):
        tower_features(ToyTower(), open_pictures(tmp_path / "shards"), tmp_path / "out", settings)
    assert not list((tmp_path / "out").glob("features-*"))


def test_rows_and_pictures_are_counted_past_the_ones_that_failed() -> None:
    features = FeatureSet(file=Path("none"), num_pictures=10, failed=np.array([0, 4, 5, 9]))
    with_row = [1, 2, 3, 6, 7, 8]
    assert [features.picture_of(row) for row in range(6)] == with_row
    for start in range(11):
        for stop in range(start, 11):
            first, last = features.rows_of(start, stop)
            assert with_row[first:last] == features.pictures_of(start, stop).tolist()


def test_a_users_own_file_is_taken_when_it_fits(shards: Path, tmp_path: Path) -> None:
    pictures = open_pictures(shards)
    rows = np.ones((50, 3), dtype=np.float16)
    np.save(tmp_path / "own.npy", rows)
    features = given_features(tmp_path / "own.npy", pictures)
    assert np.array_equal(features.open(), rows)
    assert features.rows_of(7, 9) == (7, 9)
    np.save(tmp_path / "own.npy", rows[:49])
    with pytest.raises(ValueError, match="each of the 50 pictures, got 49"):
        given_features(tmp_path / "own.npy", pictures)


def test_pickled_features_are_not_read(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([[object()]]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"[Oo]bject"):
        open_features(tmp_path / "objects.npy")
    with pytest.raises(ValueError, match=r"got float32 \(3,\)"):
        open_features(np.zeros(3, dtype=np.float32))  # type: ignore[arg-type]
