"""Labels are the nearest prototypes of their pictures, and say so when a picture is another one."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from tests.core.embedding.toy_tower import ToyTower
from tests.training.clusters.conftest import PER_SHARD, UNREADABLE, picture

from mlcd.core.pictures import PictureSource, open_pictures
from mlcd.core.shards import ShardWriter, tar_index
from mlcd.training.clusters import labels as labels_module
from mlcd.training.clusters.assign import NO_LABEL, AssignSettings, assign_nearest
from mlcd.training.clusters.features import FeatureSet, tower_features
from mlcd.training.clusters.kmeans import fit_prototypes
from mlcd.training.clusters.label_reading import read_blocks, read_labels
from mlcd.training.clusters.labels import write_labels

SETTINGS = AssignSettings(num_labels=3)


@pytest.fixture
def features(shards: Path, tmp_path: Path) -> FeatureSet:
    return tower_features(ToyTower(), open_pictures(shards), tmp_path / "features")


@pytest.fixture
def prototypes(features: FeatureSet) -> np.ndarray:
    return fit_prototypes(features.file, 12)


@pytest.fixture
def labelled(shards: Path, features: FeatureSet, prototypes: np.ndarray) -> PictureSource:
    pictures = open_pictures(shards)
    write_labels(pictures, features, prototypes, SETTINGS)
    return pictures


def test_labels_stand_beside_the_shards_a_row_a_picture(
    labelled: PictureSource, shards: Path, features: FeatureSet, prototypes: np.ndarray
) -> None:
    assert sorted(path.name for path in shards.glob("*.parquet")) == [
        f"{shard:05}.labels.parquet" for shard in range(3)
    ]
    table = pyarrow.parquet.read_table(shards / "00001.labels.parquet").to_pydict()
    assert list(table) == ["key", "shard", "labels", "similarities", "bytes", "crc32"]
    assert table["key"] == [f"{number:09}" for number in range(20, 40)]
    assert set(table["shard"]) == {"00001.tar"}
    assert table["labels"][0] == table["similarities"][0] == []  # number 20 is no picture
    assert table["bytes"][1] == len(picture(21))
    expected, similarities = assign_nearest(features.file, prototypes, 3)
    found = read_labels(labelled)
    assert found.dtype == np.int32
    assert (found[list(UNREADABLE)] == NO_LABEL).all()
    assert np.array_equal(np.delete(found, UNREADABLE, axis=0), expected)
    blocks = np.concatenate([block.similarities for block in read_blocks(labelled)])
    assert np.abs(np.delete(blocks, UNREADABLE, axis=0) - similarities).max() < 1e-6


def test_all_above_a_threshold_and_no_more_than_the_cap(
    shards: Path, features: FeatureSet, prototypes: np.ndarray
) -> None:
    pictures = open_pictures(shards)
    write_labels(pictures, features, prototypes, AssignSettings(num_labels=4, threshold=0.6))
    cosines = features.open() @ prototypes.T
    found = read_labels(pictures)
    for row, cosine in enumerate(cosines):
        best = np.argsort(-cosine, kind="stable")
        expected = [number for number in best if cosine[number] >= 0.6][:4]
        labels = found[features.picture_of(row)]
        assert labels.tolist() == expected + [NO_LABEL] * (4 - len(expected))
    counts = (found != NO_LABEL).sum(axis=1)
    assert sorted(set(counts.tolist())) == [0, 1, 2, 3, 4]


def test_blocks_smaller_than_a_shard_give_the_same(
    labelled: PictureSource,
    features: FeatureSet,
    prototypes: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = read_labels(labelled)
    monkeypatch.setattr(labels_module, "BLOCK", 7)
    write_labels(labelled, features, prototypes, SETTINGS, tmp_path / "labels")
    assert np.array_equal(read_labels(labelled, tmp_path / "labels"), whole)
    file = tmp_path / "labels" / "00000.labels.parquet"
    assert pyarrow.parquet.ParquetFile(file).num_row_groups == 3


def test_mapped_labels_are_the_same_labels(labelled: PictureSource, tmp_path: Path) -> None:
    mapped = read_labels(labelled, into=tmp_path / "labels.npy")
    assert isinstance(mapped, np.memmap)
    assert np.array_equal(mapped, read_labels(labelled))


def test_pictures_in_a_folder_have_one_file_of_labels(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(9):
        (folder / f"{number}.png").write_bytes(picture(number))
    pictures = open_pictures(folder)
    features = tower_features(ToyTower(), pictures, tmp_path / "features")
    prototypes = fit_prototypes(features.file, 4)
    with pytest.raises(ValueError, match="expected a folder for the labels"):
        write_labels(pictures, features, prototypes, SETTINGS)
    write_labels(pictures, features, prototypes, SETTINGS, tmp_path / "labels")
    expected = assign_nearest(features.file, prototypes, 3)[0]
    assert np.array_equal(read_labels(pictures, tmp_path / "labels"), expected)
    (folder / "4.png").write_bytes(picture(44) + b"longer")
    with pytest.raises(ValueError, match=r"row 4 has a file of .* bytes for '4\.png'"):
        read_labels(pictures, tmp_path / "labels")
    (folder / "4.png").unlink()
    with pytest.raises(ValueError, match=r"row 4 has a file of .* it has 0"):
        read_labels(pictures, tmp_path / "labels")


# --- written again ---------------------------------------------------------------------------


def test_stopped_between_shards_it_goes_on(
    shards: Path,
    features: FeatureSet,
    prototypes: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pictures = open_pictures(shards)
    write_part = labels_module.write_part
    written: list[str] = []

    def dying(part: labels_module.Part, *rest: object) -> None:
        if len(written) == 1 and part.name == "00001.tar":
            raise KeyboardInterrupt
        written.append(part.name)
        write_part(part, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(labels_module, "write_part", dying)
    with pytest.raises(KeyboardInterrupt):
        write_labels(pictures, features, prototypes, SETTINGS)
    with pytest.raises(ValueError, match=r"00001\.labels\.parquet: there are no labels"):
        read_labels(pictures)
    written.append("")
    write_labels(pictures, features, prototypes, SETTINGS)
    assert written == ["00000.tar", "", "00001.tar", "00002.tar"]
    assert len(read_labels(pictures)) == 50


def test_other_labels_are_not_overwritten(
    labelled: PictureSource, shards: Path, features: FeatureSet, prototypes: np.ndarray
) -> None:
    before = (shards / "00000.labels.parquet").read_bytes()
    with pytest.raises(ValueError, match="num_labels was 3 and is 4"):
        write_labels(labelled, features, prototypes, AssignSettings(num_labels=4))
    with pytest.raises(ValueError, match="prototypes_sha256 was"):
        write_labels(labelled, features, prototypes[::-1], SETTINGS)
    assert (shards / "00000.labels.parquet").read_bytes() == before


# --- pictures that changed since -------------------------------------------------------------


def rewrite(shards: Path, number_of: Callable[[int], int], name: str = "00001.tar") -> None:
    """Write the shard again, with the picture `number_of(n)` under the key of picture n."""
    start = int(name.removesuffix(".tar")) * PER_SHARD
    scratch = shards.parent / "scratch"
    with ShardWriter(scratch) as writer:
        for number in range(start, start + PER_SHARD):
            other = number_of(number)
            image = b"no picture" if other in UNREADABLE else picture(other)
            writer.write(image, suffix="png")
    with (
        tarfile.open(scratch / "00000.tar") as old,
        tarfile.open(shards / name, "w") as new,
    ):
        for offset, member in enumerate(old):
            data = old.extractfile(member)
            member.name = f"{start + offset:09}.png"
            new.addfile(member, data)
    tar_index.map_index.cache_clear()


def test_a_picture_that_was_exchanged_is_named(labelled: PictureSource, shards: Path) -> None:
    rewrite(shards, lambda number: 99 if number == 25 else number)
    pictures = open_pictures(shards)
    if len(picture(99)) != len(picture(25)):
        with pytest.raises(ValueError, match=r"00001\.labels\.parquet: row 5 has a file of"):
            read_labels(pictures)
    with pytest.raises(ValueError, match=r"00001\.labels\.parquet: row 5 has "):
        list(read_blocks(pictures, check_bytes=True))


def test_bytes_of_the_same_number_are_told_apart_by_their_checksum(
    labelled: PictureSource, shards: Path
) -> None:
    with tarfile.open(shards / "00001.tar") as tar:
        member = next(member for member in tar if member.name == "000000025.png")
    with (shards / "00001.tar").open("r+b") as file:
        file.seek(member.offset_data + member.size - 5)
        file.write(b"!")
    pictures = open_pictures(shards)
    assert len(read_labels(pictures)) == 50  # sizes and keys are as they were
    with pytest.raises(ValueError, match="row 5 has other bytes for '000000025'"):
        list(read_blocks(pictures, check_bytes=True))


def test_reordered_shards_are_named(labelled: PictureSource, shards: Path) -> None:
    (shards / "00000.tar").rename(shards / "swap")
    (shards / "00001.tar").rename(shards / "00000.tar")
    (shards / "swap").rename(shards / "00001.tar")
    with pytest.raises(
        ValueError,
        match=r"00000\.labels\.parquet: row 0 has key '000000000', .* is '000000020'.*label",
    ):
        read_labels(open_pictures(shards))


def test_a_shard_that_grew_is_named(labelled: PictureSource, shards: Path) -> None:
    (shards / "00002.tar").write_bytes((shards / "00001.tar").read_bytes())
    with pytest.raises(ValueError, match="has 10 rows for 20 pictures"):
        read_labels(open_pictures(shards))


def test_a_file_that_holds_no_labels_is_named(labelled: PictureSource, shards: Path) -> None:
    table = pyarrow.table({"key": list(range(20))})
    pyarrow.parquet.write_table(table, shards / "00000.labels.parquet")
    with pytest.raises(ValueError, match="expected labels with the columns key, shard"):
        read_labels(labelled)


def test_what_cannot_be_asked_for_is_refused(features: FeatureSet, prototypes: np.ndarray) -> None:
    with pytest.raises(ValueError, match="at least 13 prototypes for as many labels, got 12"):
        assign_nearest(features.file, prototypes, 13)
    with pytest.raises(ValueError, match="num_labels must be at least 1"):
        AssignSettings(num_labels=0)
    with pytest.raises(ValueError, match="from -1 to 1, got 2"):
        AssignSettings(threshold=2)
