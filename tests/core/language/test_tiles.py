"""The tiles are the parts of the picture that they claim to be, in every layout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from tests.core.language.toy_models import SIDE, speckled, toy_vlm_config
from transformers.models.llava_next.image_processing_pil_llava_next import (
    LlavaNextImageProcessorPil,
)

from mlcd.core.images import CLIP_MEAN, Image, ImageError
from mlcd.core.language.tiles import cut_frames, cut_images, cut_tiles

CONFIG = toy_vlm_config()


def in_quarters(side: int) -> Image:
    """Red, green, blue and white quarters."""
    picture = np.zeros((side, side, 3), np.uint8)
    half = side // 2
    picture[:half, :half, 0] = 255
    picture[:half, half:, 1] = 255
    picture[half:, :half, 2] = 255
    picture[half:, half:] = 255
    return picture


def test_base_first_then_the_parts_row_by_row() -> None:
    config = replace(CONFIG, pinpoints=((2 * SIDE, 2 * SIDE),))
    tiles = cut_tiles(in_quarters(2 * SIDE), config)
    assert tiles.pixels.shape == (5, 3, SIDE, SIDE)
    assert (tiles.size, tiles.grid, tiles.is_video) == ((64, 64), (2, 2), False)
    preprocess = config.tower.preprocess
    whole = torch.from_numpy(preprocess(in_quarters(2 * SIDE)))
    assert torch.equal(tiles.pixels[0], whole)
    for part, colour in zip(
        tiles.pixels[1:], ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)), strict=True
    ):
        plain = np.full((SIDE, SIDE, 3), colour, np.uint8)
        assert torch.equal(part, torch.from_numpy(preprocess(plain)))


@pytest.mark.parametrize(
    "size", [(64, 64), (100, 37), (37, 100), (3, 2), (1, 1), (500, 4), (32, 32)]
)
def test_the_pixels_equal_those_of_llava_next(size: tuple[int, int]) -> None:
    image = speckled(*size)
    processor = LlavaNextImageProcessorPil(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_grid_pinpoints=[[height, width] for width, height in CONFIG.pinpoints],
    )
    theirs = processor([image], input_data_format="channels_last", return_tensors="pt")
    tiles = cut_tiles(image, CONFIG)
    assert theirs["image_sizes"].tolist() == [[tiles.size[1], tiles.size[0]]]
    assert tiles.pixels.shape == theirs["pixel_values"][0].shape
    assert (tiles.pixels - theirs["pixel_values"][0]).abs().max() < 1e-5


def test_a_square_tile_is_what_the_tower_takes() -> None:
    image = speckled(70, 50)
    tiles = cut_tiles(image, replace(CONFIG, image_layout="square"))
    assert tiles.grid is None
    assert torch.equal(tiles.pixels, CONFIG.tower.preprocess.batch([image]))


def test_a_padded_tile_shows_the_picture_in_the_middle_of_the_mean_colour() -> None:
    image = speckled(SIDE, SIDE // 2)
    tiles = cut_tiles(image, replace(CONFIG, image_layout="pad"))
    assert tiles.pixels.shape == (1, 3, SIDE, SIDE)
    expected = np.empty((SIDE, SIDE, 3), np.uint8)
    expected[:] = [int(255 * channel) for channel in CLIP_MEAN]
    assert expected[0, 0].tolist() == [122, 116, 104]
    expected[SIDE // 4 : SIDE // 4 + SIDE // 2] = image
    assert torch.equal(tiles.pixels, CONFIG.tower.preprocess.batch([expected]))


@pytest.mark.parametrize("layout", ["square", "pad", "anyres"])
def test_a_photograph_is_turned_upright_once(layout: str, tmp_path: Path) -> None:
    """Its orientation must not come along into the parts, which are prepared once more."""
    config = toy_vlm_config(image_layout=layout)
    picture = PIL.Image.fromarray(speckled(70, 40))
    exif = picture.getexif()
    exif[0x0112] = 6  # turn by 90 degrees
    picture.save(tmp_path / "turned.png", exif=exif)
    upright = np.asarray(picture.transpose(PIL.Image.Transpose.ROTATE_270))
    turned = cut_tiles(tmp_path / "turned.png", config)
    assert turned.size == (40, 70)
    assert torch.equal(turned.pixels, cut_tiles(upright, config).pixels)


def test_several_pictures_are_padded_and_many_are_frames() -> None:
    images = [speckled(70, 50, seed) for seed in range(9)]
    (alone,) = cut_images(images[:1], CONFIG)
    assert alone.grid is not None
    for number in (2, 8):
        few = cut_images(images[:number], CONFIG)
        padded = [cut_tiles(image, CONFIG, layout="pad") for image in images[:number]]
        assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(few, padded, strict=True))
        assert not any(tiles.is_video or tiles.grid for tiles in few)
    many = cut_images(images, CONFIG)
    assert len(many) == 9
    assert all(tiles.is_video and len(tiles.pixels) == 1 for tiles in many)


def test_several_pictures_are_tiled_where_the_config_says_so() -> None:
    images = [speckled(70, 50, seed) for seed in range(9)]
    tiled = cut_images(images, replace(CONFIG, several_images="tiled"))
    assert all(
        torch.equal(tiles.pixels, cut_tiles(image, CONFIG).pixels)
        for tiles, image in zip(tiled, images, strict=True)
    )


def test_a_video_without_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        cut_frames([], CONFIG)


def test_no_pictures_have_no_tiles() -> None:
    assert cut_images([], CONFIG) == []


def test_a_picture_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "words.jpg").write_text("no picture")
    with pytest.raises(ImageError, match=r"words\.jpg"):
        cut_images([speckled(9, 9), tmp_path / "words.jpg"], CONFIG)
