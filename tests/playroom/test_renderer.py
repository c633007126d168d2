"""The renderer draws what the scene says, with exact masks, the same each time."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mlcd.playroom.renderer import render
from mlcd.playroom.sampling import random_ground, random_light, random_single_scene
from mlcd.playroom.scenes import Ground, Light, PlacedThing, Scene
from mlcd.playroom.things import Thing, scene_things, sprite

THINGS = {thing.short_name: thing for thing in scene_things()}
APPLE, TEAPOT = THINGS["apple"], THINGS["teapot"]


def scene_of(thing: Thing, **placing: object) -> Scene:
    return Scene(things=(PlacedThing(thing=thing, style="noto", **placing),))  # type: ignore[arg-type]


def test_the_same_scene_gives_the_same_pixels_and_another_seed_others() -> None:
    def draw(seed: int) -> np.ndarray:
        random = np.random.default_rng(seed)
        scene = random_single_scene(APPLE, "fluent", random, ground=random_ground(random))
        return render(scene, 96, 64).image

    assert (draw(3) == draw(3)).all()
    assert (draw(3) != draw(4)).any()


def test_a_thing_in_the_middle_at_its_own_size_is_its_picture_on_white() -> None:
    art = sprite(APPLE, "noto")
    white = Image.new("RGBA", art.size, "white")
    white.alpha_composite(art)
    expected = np.asarray(white.convert("RGB"), np.int16)
    drawn = render(scene_of(APPLE, size=1.0), 64, 64).image
    assert np.abs(drawn - expected).mean() < 1.5


def test_the_mask_is_where_the_picture_differs_from_its_ground() -> None:
    ground = Ground(colours=((0, 255, 0),))
    scene = Scene(things=scene_of(APPLE, size=0.5, center=(0.3, 0.6)).things, ground=ground)
    drawn = render(scene, 120, 90)
    mask = drawn.things[0].mask
    changed = np.abs(drawn.image.astype(int) - [0, 255, 0]).sum(axis=2) > 60
    assert (mask & changed).sum() / (mask | changed).sum() > 0.9
    x0, y0, x1, y1 = drawn.things[0].box or (0, 0, 0, 0)
    assert (x0 + x1) / 2 == pytest.approx(0.3 * 120, abs=3)
    assert (y0 + y1) / 2 == pytest.approx(0.6 * 90, abs=3)
    assert max(x1 - x0, y1 - y0) == pytest.approx(45, abs=4)


def test_a_higher_layer_hides_a_lower_one_whatever_the_order_in_the_scene() -> None:
    above = PlacedThing(thing=APPLE, style="noto", size=0.9, layer=1)
    below = PlacedThing(thing=TEAPOT, style="noto", size=0.3, layer=0)
    first, second = (
        render(Scene(things=order), 64, 64) for order in [(above, below), (below, above)]
    )
    assert (first.image == second.image).all()
    assert first.things[1].box is None
    assert (first.things[0].mask == second.things[1].mask).all()


def test_masks_do_not_overlap() -> None:
    things = tuple(
        PlacedThing(thing=thing, style="fluent", size=0.6, center=(x, 0.5))
        for thing, x in [(APPLE, 0.3), (TEAPOT, 0.5), (APPLE, 0.7)]
    )
    masks = [thing.mask for thing in render(Scene(things=things), 100, 60).things]
    assert np.stack(masks).sum(axis=0).max() == 1


def test_a_quarter_turn_turns_counter_clockwise() -> None:
    upright, turned = (
        render(scene_of(TEAPOT, size=0.8, rotation_deg=angle), 64, 64).image for angle in (0, 90)
    )
    assert np.abs(np.rot90(upright).astype(int) - turned).mean() < 3


def test_mirroring_swaps_left_and_right_and_flipping_top_and_bottom() -> None:
    plain = render(scene_of(TEAPOT, size=0.8), 64, 64).image.astype(int)
    mirrored = render(scene_of(TEAPOT, size=0.8, is_mirrored=True), 64, 64).image
    flipped = render(scene_of(TEAPOT, size=0.8, is_flipped=True), 64, 64).image
    assert np.abs(plain[:, ::-1] - mirrored).mean() < 3
    assert np.abs(plain[::-1] - flipped).mean() < 3


def test_stretching_changes_the_box_and_keeps_the_area() -> None:
    plain, wide = (
        render(scene_of(APPLE, size=0.5, stretch=stretch), 100, 100).things[0]
        for stretch in (1.0, 2.25)
    )
    (x0, y0, x1, y1), (left, top, right, bottom) = plain.box or (0,) * 4, wide.box or (0,) * 4
    assert (right - left) / (x1 - x0) == pytest.approx(1.5, abs=0.08)
    assert (bottom - top) / (y1 - y0) == pytest.approx(1 / 1.5, abs=0.08)
    assert wide.mask.sum() == pytest.approx(plain.mask.sum(), rel=0.05)


def test_a_third_of_the_colour_circle_moves_red_to_another_channel() -> None:
    red = render(scene_of(APPLE, size=0.9), 64, 64)
    turned = render(scene_of(APPLE, size=0.9, hue_shift=1 / 3), 64, 64)
    middle = red.things[0].mask
    assert red.image[middle].mean(axis=0).argmax() == 0
    assert turned.image[middle].mean(axis=0).argmax() == 1


def test_a_thing_outside_the_picture_is_not_seen_and_not_an_error() -> None:
    drawn = render(scene_of(APPLE, center=(3.0, 3.0), size=0.2), 40, 40)
    assert drawn.things[0].box is None
    assert (drawn.image == 255).all()


def test_light_without_change_changes_nothing_and_brightness_scales() -> None:
    ground = Ground(colours=((100, 100, 100),))
    assert (render(Scene(ground=ground), 8, 8).image == 100).all()
    assert (render(Scene(ground=ground, light=Light(brightness=1.2)), 8, 8).image == 120).all()


@pytest.mark.parametrize("kind", ["plain", "gradient", "stripes", "checks", "noise", "patches"])
def test_every_ground_fills_any_shape_with_its_own_colours(kind: str) -> None:
    colours = ((10, 20, 30), (200, 100, 50))
    ground = Ground(kind=kind, colours=colours, seed=1)  # type: ignore[arg-type]
    image = render(Scene(ground=ground), 50, 30).image
    assert image.shape == (30, 50, 3)
    assert image.min(axis=(0, 1)).tolist() >= [10, 20, 30]
    assert (image.max(axis=(0, 1)) <= [200, 100, 50]).all()


def test_a_photographed_ground_shows_its_window(tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "photo.png"
    photo = np.zeros((40, 40, 3), np.uint8)
    photo[:, 20:] = 255
    Image.fromarray(photo).save(path)
    left = Ground(kind="photo", photo=path, window=(0.0, 0.0, 0.45, 1.0))
    right = Ground(kind="photo", photo=path, window=(0.55, 0.0, 1.0, 1.0))
    assert render(Scene(ground=left), 16, 16).image.max() == 0
    assert render(Scene(ground=right), 16, 16).image.min() == 255


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="1x1"):
        render(Scene(), 0, 5)
    with pytest.raises(ValueError, match="size"):
        PlacedThing(thing=APPLE, style="noto", size=0)
    with pytest.raises(ValueError, match="photo"):
        Ground(kind="photo")


def test_random_lights_of_no_strength_are_plain() -> None:
    light = random_light(np.random.default_rng(0), 0.0)
    assert (light.brightness, light.contrast, light.warmth, light.slope) == (1.0, 1.0, 0.0, 0.0)
