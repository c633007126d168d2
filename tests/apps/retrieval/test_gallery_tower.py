"""A gallery opens with the tower that it was built with, and with no other."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlcd.apps.retrieval import Gallery, GalleryError
from mlcd.core.towers import VisionTower, save_tower


def test_another_tower_is_refused_and_both_are_named(
    gallery: Gallery, tower: VisionTower, other_tower: VisionTower
) -> None:
    with pytest.raises(GalleryError) as refused:
        Gallery.open(gallery.folder, tower=other_tower)
    for each in (tower, other_tower):
        assert each.name in str(refused.value)
        assert each.weights_sha256()[:12] in str(refused.value)


def test_the_same_weights_with_other_preprocessing_are_another_tower(
    tmp_path: Path, photos: Path, tower: VisionTower
) -> None:
    gallery = Gallery.create(tmp_path / "gallery", tower)
    altered = VisionTower(
        replace(tower.config, preprocess=replace(tower.config.preprocess, mean=(0.5, 0.5, 0.5)))
    ).eval()
    altered.load_state_dict(tower.state_dict())
    with pytest.raises(GalleryError, match="settings differ in preprocess"):
        Gallery.open(gallery.folder, tower=altered)


def test_the_tower_is_found_again_by_its_folder_from_anywhere(
    tmp_path: Path, photos: Path, tower: VisionTower, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_tower(tower, tmp_path / "models" / "tiny")
    monkeypatch.chdir(tmp_path)
    gallery = Gallery.create("gallery", "models/tiny")
    gallery.add(photos)
    monkeypatch.chdir("/")
    opened = Gallery.open(tmp_path / "gallery")
    assert opened.search(photos / "01.png", k=1)[0].path == photos / "01.png"


def test_weights_that_changed_under_the_same_name_are_refused(
    tmp_path: Path, photos: Path, tower: VisionTower, other_tower: VisionTower
) -> None:
    save_tower(tower, tmp_path / "tiny")
    Gallery.create(tmp_path / "gallery", tmp_path / "tiny").add(photos)
    save_tower(other_tower, tmp_path / "tiny", overwrite=True)
    opened = Gallery.open(tmp_path / "gallery")
    with pytest.raises(GalleryError, match="their embeddings cannot be compared"):
        opened.search(photos / "01.png")
    shutil.rmtree(tmp_path / "tiny")
    with pytest.raises(GalleryError, match=r"which cannot be loaded.*give the tower explicitly"):
        Gallery.open(tmp_path / "gallery").search(photos / "01.png")


def test_queries_of_another_length_are_refused(gallery: Gallery) -> None:
    with pytest.raises(ValueError, match=r"expected \(Q, 32\), got \(1, 16\)"):
        gallery.search_embeddings(np.ones((1, 16), dtype=np.float32))
