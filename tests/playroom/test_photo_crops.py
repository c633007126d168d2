"""Halves of photographs: disjoint, the same each time, and only of different photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlcd.core.images import read_image
from mlcd.playroom.photo_crops import photo_crops_set


def photograph(path: Path, seed: int, size: tuple[int, int] = (300, 200)) -> Path:
    """Smooth noise, which has no colour that covers much."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    coarse.resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def test_the_two_squares_of_a_photograph_do_not_overlap(tmp_path: Path) -> None:
    for seed, name in enumerate(["wide.png", "tall.png"]):
        image = np.array(Image.open(photograph(tmp_path / name, seed, (400, 200))))
        image[..., 0] = np.arange(400) // 2  # a ramp along the longer side
        turned = image if name == "wide.png" else image.transpose(1, 0, 2)
        Image.fromarray(turned).save(tmp_path / name)
    found = photo_crops_set([tmp_path / "wide.png", tmp_path / "tall.png"])
    assert found.queries is not None
    for first, second in zip(found.queries, found.gallery, strict=True):
        one, other = read_image(first.source)[..., 0], read_image(second.source)[..., 0]
        assert one.shape == other.shape == (200, 200)
        assert one.max() < other.min()


def test_pairs_share_a_label_and_the_digest_follows_the_pictures(tmp_path: Path) -> None:
    paths = [photograph(tmp_path / f"{name}.png", i) for i, name in enumerate("xyz")]
    found = photo_crops_set(paths)
    assert found.queries is not None
    assert [q.label for q in found.queries] == [g.label for g in found.gallery] == [0, 1, 2]
    assert photo_crops_set(paths).digest == found.digest
    assert photo_crops_set(paths[:2]).digest != found.digest


def test_what_is_no_new_photograph_is_left_out(tmp_path: Path) -> None:
    kept = [photograph(tmp_path / "a.png", 0), photograph(tmp_path / "left01.png", 1)]
    again = tmp_path / "smaller.png"
    Image.open(kept[0]).resize((240, 160)).save(again)
    drawing = np.array(Image.open(photograph(tmp_path / "drawing.png", 3)))
    drawing[:, :100] = 255
    Image.fromarray(drawing).save(tmp_path / "drawing.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    others = [
        again,
        photograph(tmp_path / "left02.png", 2),
        photograph(tmp_path / "tiny.png", 4, (150, 90)),
        tmp_path / "drawing.png",
        tmp_path / "broken.png",
    ]
    assert photo_crops_set([*kept, *others]).digest == photo_crops_set(kept).digest


def test_fewer_than_two_photographs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        photo_crops_set([photograph(tmp_path / "a.png", 0)])
