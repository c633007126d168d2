"""`Preprocess` computes what Transformers' CLIP processor computes, and speaks its settings."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from transformers import CLIPImageProcessorPil

from mlcd.core.images import CLIP_MEAN, CLIP_STD, Image, ImageError, Preprocess
from mlcd.core.images.preprocess_settings import Resample


def processor(**settings: Any) -> CLIPImageProcessorPil:
    """Theirs, without normalisation: its values times 255 are bytes."""
    return CLIPImageProcessorPil(**{"do_normalize": False, **settings})


@pytest.mark.parametrize("resample", ["bilinear", "bicubic", "lanczos"])
def test_shrinking_by_torch_is_off_by_one_at_most(resample: Resample) -> None:
    preprocess = Preprocess(size=48, resample=resample, mean=(0, 0, 0), std=(1, 1, 1))
    images = [noise(*shape) for shape in [(100, 160), (480, 640), (333, 200), (97, 96), (900, 50)]]
    off = []
    for image in images:
        quick, exact = preprocess(image, is_exact=False), preprocess(image)
        off.append(np.rint(255 * np.abs(quick - exact)))
    assert max(difference.max() for difference in off) <= 1
    shares = [(difference > 0).mean() for difference in off]
    assert max(shares) < 0.02
    assert (max(shares[:3]) > 0) == (resample != "lanczos")  # it is torch that shrinks


def square(size: int) -> dict[str, Any]:
    return {"size": {"shortest_edge": size}, "crop_size": {"height": size, "width": size}}


def theirs(processor: CLIPImageProcessorPil, image: Image) -> np.ndarray:
    """Their pixels before normalisation, in 1/255: (S, S, 3)."""
    pixels = processor(PIL.Image.fromarray(image))["pixel_values"][0]
    return np.rint(pixels * 255).transpose(1, 2, 0)


def noise(height: int, width: int, seed: int = 0) -> Image:
    """The hardest picture for an equal resampling: every weight shows."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def assert_equal(preprocess: Preprocess, reference: CLIPImageProcessorPil, image: Image) -> None:
    difference = np.abs(preprocess.crop(image) - theirs(reference, image))
    assert difference.max() <= 1, image.shape  # 1/255, by rounding
    assert (difference > 0).mean() < 0.005, image.shape


def odd_shapes(count: int) -> list[tuple[int, int]]:
    """Heights and widths drawn over four orders of magnitude, at most two million pixels."""
    rng = np.random.default_rng(2)
    shapes = []
    while len(shapes) < count:
        height, width = (int(length) for length in np.exp(rng.uniform(0, np.log(3000), 2)))
        if max(height, width) / min(height, width) < 60:  # theirs resizes before it crops
            shapes.append((height, width))
    return shapes


@pytest.mark.parametrize("size", [224, 336, 448])
@pytest.mark.parametrize(
    "shape",
    [
        (480, 640), (640, 480), (1, 1), (1, 40), (40, 1), (2, 3), (60, 1500), (1500, 61),
        (223, 225), (224, 224), (336, 448), (447, 449), (1000, 224), (224, 1001),
    ],
)  # fmt: skip
def test_odd_shapes_equal_transformers(size: int, shape: tuple[int, int]) -> None:
    assert_equal(Preprocess(size=size), processor(**square(size)), noise(*shape))


@pytest.mark.parametrize("size", [224, 336, 448])
def test_random_shapes_equal_transformers(size: int) -> None:
    reference = processor(**square(size))
    for shape in odd_shapes(12):
        assert_equal(Preprocess(size=size), reference, noise(*shape))


@pytest.mark.parametrize("size", [224, 336])
def test_normalised_pixels_equal_transformers(size: int) -> None:
    image = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    image = np.ascontiguousarray(np.broadcast_to(image, (256, 300, 3)))
    pixels = Preprocess(size=size)(image)
    expected = processor(**square(size), do_normalize=True)(PIL.Image.fromarray(image))
    assert pixels.dtype == np.float32
    assert pixels.shape == (3, size, size)
    assert np.abs(pixels - expected["pixel_values"][0]).max() < 1e-6


@pytest.mark.parametrize(
    "settings",
    [
        {"size": {"shortest_edge": 256}},
        {"size": {"shortest_edge": 97}},  # smaller than the crop: on black
        {"size": 225, "crop_size": 98},
        {"size": {"height": 224, "width": 224}},
        {"size": {"height": 250, "width": 250}},
        {"size": {"height": 250, "width": 250}, "do_center_crop": False},
        {"size": {"height": 100, "width": 100}, "crop_size": 131},
        {"do_resize": False},
        {"resample": 1},
        {"resample": 2},
        {"do_rescale": False, "image_mean": [120, 121, 122], "image_std": 60},
        {"rescale_factor": 1 / 127.5, "image_mean": 1.0, "image_std": 1.0, "do_convert_rgb": None},
        {"do_normalize": False},
        {},
    ],
)
def test_every_setting_that_is_accepted_means_what_transformers_means(
    settings: dict[str, Any],
) -> None:
    reference = CLIPImageProcessorPil(**settings)
    for preprocess in (Preprocess.from_dict(settings), Preprocess.from_dict(reference.to_dict())):
        assert Preprocess.from_dict(preprocess.to_dict()) == preprocess
        written = CLIPImageProcessorPil.from_dict(preprocess.to_dict())
        step = preprocess.rescale_factor / min(preprocess.std)
        for shape in [(100, 150), (331, 227), (130, 131), (500, 80)]:
            image = PIL.Image.fromarray(noise(*shape))
            expected = reference(image)["pixel_values"][0]
            assert np.abs(preprocess(image) - expected).max() <= 1.001 * step
            assert np.abs(written(image)["pixel_values"][0] - expected).max() <= 1.001 * step


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"image_processor_type": "SiglipImageProcessor"}, "image_processor_type 'Siglip"),
        ({"feature_extractor_type": "ViTFeatureExtractor"}, "feature_extractor_type 'ViT"),
        ({"size": {"shortest_edge": 224, "longest_edge": 300}}, "size must state"),
        ({"size": {"height": 224, "width": 336}}, "size must state"),
        ({"size": [224, 224]}, "size must state"),
        ({"size": 0}, "size"),
        ({"size": {"shortest_edge": 224.0}}, "whole numbers"),
        ({"crop_size": {"height": 224, "width": 336}}, "crop_size must state"),
        ({"crop_size": {"shortest_edge": 224}}, "crop_size must state"),
        ({"do_center_crop": False}, "different shapes"),
        ({"do_pad": True}, "do_pad"),
        ({"resample": 0}, "resample"),
        ({"image_mean": [0.5, 0.5]}, "image_mean"),
        ({"image_std": [0.5, 0.5, 0.0]}, "std"),
        ({"rescale_factor": 0.0}, "rescale_factor"),
        ({"rescale_factor": None}, "rescale_factor must be a number"),
        ({"resample": []}, "resample must be one of"),
        ({"image_mean": [0.5, [], 0.5]}, "image_mean must be one number or three"),
        ({"do_flip": True}, "do_flip"),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_name(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Preprocess.from_dict(settings)


@pytest.mark.parametrize(
    "arguments",
    [
        {"size": 0}, {"size": 224.0}, {"size": True}, {"resize": "squash"}, {"resample": "nearest"},
        {"resize": "none", "resize_to": 224}, {"mean": (0.5, 0.5)}, {"std": (1.0, 1.0, -1.0)},
        {"mean": (0.0, 0.0, float("nan"))},
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Preprocess(**{"size": 224, **arguments})


def test_the_published_towers_settings_are_the_defaults() -> None:
    preprocess = Preprocess(size=336)
    assert (preprocess.mean, preprocess.std) == (CLIP_MEAN, CLIP_STD)
    assert Preprocess.from_dict({"size": 224}) == Preprocess(size=224)
    assert preprocess == Preprocess.from_dict(square(336))


def test_a_batch_stacks_pictures_of_any_shape_and_source() -> None:
    preprocess = Preprocess(size=32)
    images = [noise(40, 50), noise(33, 32), noise(5, 9)]
    pixels = preprocess.batch([images[0], PIL.Image.fromarray(images[1]), images[2]])
    assert pixels.dtype == torch.float32
    assert pixels.shape == (3, 3, 32, 32)
    assert all(
        np.array_equal(row, preprocess(image)) for row, image in zip(pixels, images, strict=True)
    )
    assert preprocess.batch([]).shape == (0, 3, 32, 32)
    with pytest.raises(ImageError):
        preprocess.batch([images[0], b"not a picture"])


@pytest.mark.parametrize("shape", [(1, 1_000_000), (1_000_000, 1), (40, 30_000)])
def test_a_thread_of_a_picture_is_resized_only_where_it_is_kept(shape: tuple[int, int]) -> None:
    """Resized whole, 1 x 1,000,000 would become 224 x 224,000,000 pixels: 200 GB."""
    image = noise(*shape)
    tracemalloc.start()
    kept = Preprocess(size=224).crop(image)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10e6
    # Around the middle nothing depends on the length: the same from a part short enough for Pillow.
    part = tuple(slice(max(0, length // 2 - 60), length // 2 + 60) for length in shape)
    assert np.abs(kept.astype(int) - Preprocess(size=224).crop(image[part])).max() <= 1


def test_pictures_resized_in_part_and_whole_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    preprocess = Preprocess(size=96)
    images = [np.sort(noise(*shape), axis=0) for shape in [*odd_shapes(15), (5, 999), (999, 5)]]
    whole = [preprocess.crop(image) for image in images]
    monkeypatch.setattr("mlcd.core.images.preprocess._WHOLE_PIXELS", 0)
    for image, expected in zip(images, whole, strict=True):
        assert np.abs(preprocess.crop(image).astype(int) - expected).max() <= 1, image.shape
