"""All steps or any one: killed at any moment and run again, the same labels come out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.training.clusters.conftest import PER_SHARD, picture

from mlcd.core.pictures import open_pictures
from mlcd.core.shards import ShardWriter
from mlcd.training.clusters.label_reading import read_labels
from mlcd.training.clusters.prototypes import load_prototypes
from mlcd.training.recipes.pretrain_clusters import (
    ClustersRecipe,
    parse_steps,
    pretrain_clusters,
)

NUM_PICTURES = 60
RECIPE = ClustersRecipe(num_clusters=8, labels_per_picture=3, batch_size=4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for number in range(NUM_PICTURES):
        (tmp_path / "pictures" / f"{number:02}.png").write_bytes(picture(number))
    return tmp_path / "pictures"


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    with ShardWriter(tmp_path / "shards", PER_SHARD) as writer:
        for number in range(NUM_PICTURES):
            writer.write(picture(number), suffix="png")
    return tmp_path / "shards"


def test_a_folder_a_list_and_shards_get_the_same_labels(
    folder: Path, shards: Path, tmp_path: Path
) -> None:
    listing = tmp_path / "list.txt"
    listing.write_text("".join(f"pictures/{number:02}.png\n" for number in range(NUM_PICTURES)))
    found = []
    for source in (folder, listing, shards):
        output = tmp_path / f"out-{source.name}"
        done = pretrain_clusters(source, output, RECIPE)
        assert list(done) == ["features", "prototypes", "labels", "report"]
        assert Path(done["report"]).exists()
        beside = None if source == shards else output / "labels"
        found.append(read_labels(open_pictures(source), beside))
    assert found[0].shape == (NUM_PICTURES, 3)
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
    assert len(list(shards.glob("*.labels.parquet"))) == 3


def test_any_step_alone_and_one_that_is_missing_is_named(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with pytest.raises(ValueError, match="no features yet; run the step `features` first"):
        pretrain_clusters(folder, output, RECIPE, steps=["kmeans"])
    pretrain_clusters(folder, output, RECIPE, steps=["features"])
    with pytest.raises(ValueError, match="no prototypes yet; run the step `kmeans` first"):
        pretrain_clusters(folder, output, RECIPE, steps=["assign"])
    pretrain_clusters(folder, output, RECIPE, steps=["kmeans"])
    with pytest.raises(ValueError, match="no labels; run the step `assign` first"):
        pretrain_clusters(folder, output, RECIPE, steps=["report"])
    pretrain_clusters(folder, output, RECIPE, steps=["assign"])
    pretrain_clusters(folder, output, RECIPE, steps=["report"])
    assert (output / "report" / "report.html").exists()


def test_a_users_own_features_need_no_tower(folder: Path, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(NUM_PICTURES, 5)).astype(np.float32)
    np.save(tmp_path / "own.npy", rows)
    recipe = ClustersRecipe(
        tower="no such tower", features=tmp_path / "own.npy", num_clusters=6, labels_per_picture=2
    )
    pretrain_clusters(folder, tmp_path / "out", recipe)
    labels = read_labels(open_pictures(folder), tmp_path / "out" / "labels")
    cosines = rows @ load_prototypes(tmp_path / "out" / "prototypes").T
    assert np.array_equal(labels[:, 0], cosines.argmax(axis=1))


def test_steps_are_read_from_their_names() -> None:
    assert parse_steps("assign, kmeans") == ["kmeans", "assign"]
    with pytest.raises(ValueError, match="no step 'kmean'; expected some of features, kmeans"):
        parse_steps("features,kmean")
    with pytest.raises(ValueError, match="got none"):
        parse_steps(" ,")


# Kills itself when the seventh file would appear; the report alone has five.
SCRIPT = f"""
import os, signal, sys
from pathlib import Path
from mlcd.training.recipes.pretrain_clusters import ClustersRecipe, pretrain_clusters

left, replace = int(sys.argv[3]), Path.replace

def dying(path, target):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(path, target)

Path.replace = dying
pretrain_clusters(sys.argv[1], Path(sys.argv[2]), {RECIPE!r})
"""


@pytest.mark.slow
def test_killed_again_and_again_it_ends_with_the_same_files(shards: Path, tmp_path: Path) -> None:
    pretrain_clusters(shards, tmp_path / "straight", RECIPE)
    labels = {path: path.read_bytes() for path in shards.glob("*.labels.parquet")}
    for path in labels:
        path.unlink()
    output = tmp_path / "out"
    codes = []
    while not codes or codes[-1] != 0:
        run = [sys.executable, "-c", SCRIPT, str(shards), str(output), "6"]
        codes.append(subprocess.run(run, check=False, env=os.environ).returncode)
        assert codes[-1] in (0, -signal.SIGKILL)
        assert len(codes) < 10, "it does not get on"
    assert len(codes) >= 3
    for path, data in labels.items():
        assert path.read_bytes() == data
    for name in ("features/embeddings.npy", "prototypes/prototypes.safetensors"):
        assert (output / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()
