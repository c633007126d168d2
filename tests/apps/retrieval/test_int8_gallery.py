"""A gallery of int8 embeddings is one of another tower: it works, and never mixes with float32."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcd.apps.retrieval import Gallery, GalleryError
from mlcd.core.towers import VisionTower
from mlcd.core.towers.int8 import quantize_int8


def test_a_gallery_in_int8_finds_and_opens_again(
    tmp_path: Path, photos: Path, tower: VisionTower
) -> None:
    Gallery.create(tmp_path / "gallery", quantize_int8(tower)).add(photos)
    opened = Gallery.open(tmp_path / "gallery", tower=quantize_int8(tower))
    hit = opened.search(photos / "01.png", k=1)[0]
    assert hit.path == photos / "01.png"
    assert hit.score == pytest.approx(1, abs=1e-3)


def test_int8_and_float32_do_not_mix_in_either_direction(
    tmp_path: Path, gallery: Gallery, photos: Path, tower: VisionTower
) -> None:
    int8 = quantize_int8(tower)
    with pytest.raises(GalleryError, match=f"{tower.name} in int8"):
        Gallery.open(gallery.folder, tower=int8)
    Gallery.create(tmp_path / "in-int8", int8).add(photos)
    with pytest.raises(GalleryError, match=f"{tower.name} in int8"):
        Gallery.open(tmp_path / "in-int8", tower=tower)
    with pytest.raises(GalleryError, match="give the tower explicitly"):
        Gallery.open(tmp_path / "in-int8").search(photos / "01.png")
