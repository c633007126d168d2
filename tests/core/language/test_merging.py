"""The tokens of a picture: their number as published, and each one where it belongs."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from tests.core.language.toy_models import SIDE, speckled, toy_vlm_config
from tests.core.towers.toy_towers import noise, toy_config
from torch import Tensor

from mlcd.core.language import VlmConfig
from mlcd.core.language.merging import kept_region, merge_frames, merge_tiles, num_image_tokens
from mlcd.core.language.pinpoints import Size, best_resolution
from mlcd.core.language.presets import mlcd_embodied_7b, mlcd_next_7b
from mlcd.core.language.tiles import Tiles, cut_frames, cut_images, cut_tiles

BIGG = mlcd_next_7b()
SMALL_PINPOINTS = tuple(
    (336 * columns, 336 * rows) for columns, rows in ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3))
)
L336 = replace(mlcd_embodied_7b(), pinpoints=SMALL_PINPOINTS)
"""The L/14 at 336 with the pinpoints of LLaVA-NeXT."""

GOLDEN: list[tuple[VlmConfig, Size, Size, tuple[int, int], int]] = [
    (BIGG, (640, 480), (896, 896), (48, 64), 4144),
    (BIGG, (480, 640), (896, 896), (64, 48), 4160),
    (BIGG, (1920, 1080), (896, 896), (36, 64), 3364),
    (BIGG, (1000, 300), (1344, 448), (28, 96), 3740),
    (BIGG, (224, 224), (448, 896), (32, 32), 2080),
    (BIGG, (300, 1000), (448, 1344), (96, 28), 3808),
    (L336, (640, 480), (672, 672), (36, 48), 2340),
    (L336, (480, 640), (672, 672), (48, 36), 2352),
    (L336, (1920, 1080), (672, 672), (28, 48), 1948),
    (L336, (1000, 300), (1008, 336), (22, 72), 2182),
    (L336, (224, 224), (336, 672), (24, 24), 1176),
    (L336, (300, 1000), (336, 1008), (72, 22), 2232),
]


def empty_tiles(size: Size, config: VlmConfig) -> Tiles:
    width, height = best_resolution(size, config.pinpoints)
    grid = width // config.tile_size, height // config.tile_size
    return Tiles(torch.empty(1 + grid[0] * grid[1], 0), size, grid)


def num_merged(size: Size, config: VlmConfig) -> int:
    """Tokens that really come out, of features with one channel."""
    tiles = empty_tiles(size, config)
    features = torch.zeros(len(tiles.pixels), config.tile_grid**2, 1)
    return len(merge_tiles(features, tiles, config, torch.ones(1)))


@pytest.mark.parametrize(("config", "size", "best", "kept", "num_tokens"), GOLDEN)
def test_the_published_counts(
    config: VlmConfig, size: Size, best: Size, kept: tuple[int, int], num_tokens: int
) -> None:
    assert best_resolution(size, config.pinpoints) == best
    plane = tuple(side // config.tile_size * config.tile_grid for side in reversed(best))
    rows, columns = kept_region(size, plane, config.unpad_rule)
    assert (rows.stop - rows.start, columns.stop - columns.start) == kept
    assert num_image_tokens(size, config) == num_tokens
    assert num_merged(size, config) == num_tokens


@pytest.mark.parametrize(
    ("size", "truncated", "rounded"),
    [
        ((376, 799), 1826, 1876),
        ((88, 99), 1226, 1276),
        ((55, 176), 1296, 1392),
        ((235, 1128), 1656, 1800),
        ((640, 480), 2340, 2340),
    ],
)
def test_the_two_rules_of_unpadding_differ_where_they_are_known_to(
    size: Size, truncated: int, rounded: int
) -> None:
    for config, expected in (
        (replace(L336, unpad_rule="truncate"), truncated),
        (replace(L336, unpad_rule="round"), rounded),
    ):
        assert num_image_tokens(size, config) == expected
        assert num_merged(size, config) == expected


@pytest.mark.parametrize(("config", "flat", "single"), [(BIGG, 1024, 1025), (L336, 576, 577)])
def test_one_tile_has_a_newline_only_where_rows_have(
    config: VlmConfig, flat: int, single: int
) -> None:
    for layout in ("square", "pad"):
        one = replace(config, image_layout=layout)
        assert num_image_tokens((300, 200), one) == single
        assert num_image_tokens((300, 200), replace(one, merge="flat")) == flat
    assert num_image_tokens((300, 200), config, layout="pad") == single
    assert num_image_tokens((640, 480), replace(config, merge="flat")) == 5 * flat


def test_a_frame_of_a_video_has_156_tokens_at_336() -> None:
    assert num_image_tokens((640, 480), L336, is_video=True) == 12 * 13
    assert num_image_tokens((640, 480), BIGG, is_video=True) == 16 * 17
    assert num_image_tokens((640, 480), replace(L336, merge="flat"), is_video=True) == 12 * 12


@pytest.mark.parametrize("max_tiles", [1, 2, 4, 9])
def test_a_limit_of_tiles_limits_the_plane(max_tiles: int) -> None:
    config = replace(mlcd_embodied_7b(), max_tiles=max_tiles)
    for size in ((1920, 1080), (4000, 900), (900, 4000), (3, 2000), (200, 200)):
        num_tokens = num_image_tokens(size, config)
        assert num_tokens == num_merged(size, config)
        rows_times_newline = 2 * 96  # of the longest plane
        assert num_tokens <= 576 * (1 + 1.1**2 * max_tiles) + rows_times_newline
    assert num_image_tokens((1920, 1080), replace(config, max_tiles=None)) == 576 + 54 * 97
    # the plane is 54 x 96: sqrt(54 * 96 / (4 * 576)) = 1.5 times too long at four tiles
    if max_tiles == 4:
        assert num_image_tokens((1920, 1080), config) == 576 + 36 * (64 + 1)
    if max_tiles == 9:
        assert num_image_tokens((1920, 1080), config) == 576 + 54 * 97


def merged_by_hand(features: Tensor, tiles: Tiles, config: VlmConfig, newline: Tensor) -> Tensor:
    """A loop over the rows and columns that show the picture."""
    assert tiles.grid is not None
    side = config.tile_grid
    columns, rows = tiles.grid
    width, height = tiles.size
    total_rows, total_columns = rows * side, columns * side
    top = left = 0
    if width / height > total_columns / total_rows:
        top = (total_rows - int(height * (total_columns / width))) // 2
    else:
        left = (total_columns - int(width * (total_rows / height))) // 2
    tokens = [*features[0]]
    for row in range(top, total_rows - top):
        for column in range(left, total_columns - left):
            tile = 1 + (row // side) * columns + column // side
            tokens.append(features[tile, (row % side) * side + column % side])
        tokens.append(newline)
    return torch.stack(tokens)


@pytest.mark.parametrize("size", [(40, 40), (130, 30), (20, 90), (3, 2), (1, 300), (300, 1)])
def test_every_token_of_a_picture_is_where_a_loop_puts_it(size: Size) -> None:
    config = toy_vlm_config()
    tiles = cut_tiles(speckled(*size), config)
    features, newline = noise(len(tiles.pixels), 16, 8), noise(8, seed=2)
    merged = merge_tiles(features, tiles, config, newline)
    assert torch.equal(merged, merged_by_hand(features, tiles, config, newline))
    assert len(merged) == num_image_tokens(size, config)


def test_flat_tokens_follow_one_another_tile_by_tile() -> None:
    config = toy_vlm_config(merge="flat")
    tiles = cut_tiles(speckled(70, 50), config)
    features = noise(len(tiles.pixels), 16, 8)
    merged = merge_tiles(features, tiles, config, None)
    assert torch.equal(merged, torch.cat([*features]))
    assert len(merged) == num_image_tokens((70, 50), config)


@pytest.mark.parametrize("patch_size", [8, 10])
def test_a_frame_ends_each_pooled_row_with_a_newline(patch_size: int) -> None:
    config = toy_vlm_config(tower=toy_config("clip", patch_size=patch_size))
    side = config.tile_grid
    half = math.ceil(side / 2)
    features, newline = noise(3, side * side, 8), noise(8, seed=2)
    merged = merge_frames(features, config, newline)
    rows = merged.view(3, half, half + 1, 8)
    assert torch.equal(rows[:, :, -1], newline.expand(3, half, 8))
    flat = merge_frames(features, config, None)
    assert torch.equal(rows[:, :, :-1].flatten(0, 2), flat)
    if side % 2 == 0:  # then bilinear at half the size is the mean of four
        plane = features.view(3, side, side, 8)
        mean = (plane[0, 0, 0] + plane[0, 0, 1] + plane[0, 1, 0] + plane[0, 1, 1]) / 4
        assert torch.allclose(merged[0], mean, atol=1e-6)
    assert len(merged) == 3 * num_image_tokens((9, 9), config, is_video=True)


def test_the_count_of_several_pictures_follows_how_they_are_laid_out() -> None:
    config = toy_vlm_config()
    few = cut_images([speckled(70, 50), speckled(20, 90)], config)
    many = cut_images([speckled(70, 50)] * 9, config)
    tiled = cut_images([speckled(70, 50)] * 9, replace(config, several_images="tiled"))
    for layout, is_video, images in (("pad", False, few), ("anyres", True, many)):
        for tiles in images:
            features = noise(len(tiles.pixels), 16, 8)
            merged = merge_tiles(features, tiles, config, noise(8))
            assert len(merged) == num_image_tokens(
                tiles.size, config, layout=layout, is_video=is_video
            )
    assert {tiles.grid for tiles in tiled} == {cut_tiles(speckled(70, 50), config).grid}


def test_frames_of_one_video_are_as_many_single_frames() -> None:
    config = toy_vlm_config()
    frames = [speckled(70, 50, seed) for seed in range(3)]
    video = cut_frames(frames, config)
    assert video.pixels.shape == (3, 3, SIDE, SIDE)
    features, newline = noise(3, 16, 8), noise(8, seed=2)
    whole = merge_tiles(features, video, config, newline)
    parts = [merge_frames(own[None], config, newline) for own in features]
    assert torch.equal(whole, torch.cat(parts))
