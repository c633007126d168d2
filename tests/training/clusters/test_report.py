"""The report shows the clusters that there are, in one page and as pictures by themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
from tests.core.embedding.toy_tower import ToyTower
from tests.training.clusters.conftest import picture

from mlcd.core.images import read_image
from mlcd.core.pictures import open_pictures
from mlcd.training.clusters.assign import AssignSettings
from mlcd.training.clusters.features import tower_features
from mlcd.training.clusters.kmeans import KMeansSettings
from mlcd.training.clusters.labels import write_labels
from mlcd.training.clusters.prototypes import fit_on_disk
from mlcd.training.clusters.report import write_report


def write(shards: Path, output: Path, settings: AssignSettings) -> Path:
    pictures = open_pictures(shards)
    features = tower_features(ToyTower(), pictures, output / "features")
    prototypes = fit_on_disk(
        features.open(), KMeansSettings(num_clusters=10), output / "p", stamp=features.stamp
    )
    write_labels(pictures, features, prototypes, settings)
    return write_report(pictures, output / "p", output / "report")


def test_the_page_and_its_pictures_are_written(shards: Path, tmp_path: Path) -> None:
    report = write(shards, tmp_path / "out", AssignSettings(num_labels=4))
    html = report.read_text(encoding="utf-8")
    assert "10 clusters of 50 pictures" in html
    assert html.count("<svg") == 2
    assert html.count("<img") == 8 + 6
    assert "http://" not in html.replace("http://www.w3.org", "")
    for name in ("sizes", "inertia", "clusters", "labels"):
        with PIL.Image.open(report.parent / f"{name}.png") as shown:
            assert np.asarray(shown).std() > 1


def test_the_first_tile_of_a_labelled_picture_is_the_picture(shards: Path, tmp_path: Path) -> None:
    report = write(shards, tmp_path / "out", AssignSettings(num_labels=4))
    shown = np.asarray(PIL.Image.open(report.parent / "labels.png"))
    colours = {tuple(read_image(picture(number))[2, 2].tolist()) for number in range(50)}
    assert tuple(shown[30, 20].tolist()) in colours


def test_a_threshold_that_leaves_nothing_still_gives_a_report(shards: Path, tmp_path: Path) -> None:
    report = write(shards, tmp_path / "out", AssignSettings(num_labels=2, threshold=1))
    assert "10 clusters" in report.read_text(encoding="utf-8")
