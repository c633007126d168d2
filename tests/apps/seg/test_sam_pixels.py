"""Pictures go into the square and masks come back, as in the original's code written out slowly."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import torch
from tests.apps.seg.toy_sam import toy_sam_config
from tests.core.language.toy_models import speckled
from torch.nn.functional import interpolate, pad

from mlcd.apps.seg.sam_config import sam_vit_h
from mlcd.apps.seg.sam_pixels import fitted_shape, logits_in_picture, sam_pixels


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (480, 640, (768, 1024)),
        (427, 640, (683, 1024)),
        (1200, 900, (1024, 768)),
        (1, 1, (1024, 1024)),
        (50, 12_000, (4, 1024)),
        (3, 12_000, (1, 1024)),  # the original would make it 0
        (1023, 1024, (1023, 1024)),
    ],
)
def test_the_longer_side_is_brought_to_the_square(
    height: int, width: int, expected: tuple[int, int]
) -> None:
    assert fitted_shape(height, width, 1024) == expected


@pytest.mark.parametrize("size", [(640, 480), (300, 700), (20, 20), (1500, 90)])
def test_pixels_are_those_of_the_original(size: tuple[int, int]) -> None:
    image, config = speckled(*size), sam_vit_h()
    height, width = fitted_shape(size[1], size[0], 1024)
    resized = PIL.Image.fromarray(image).resize((width, height), PIL.Image.Resampling.BILINEAR)
    pixels = torch.as_tensor(np.array(resized)).permute(2, 0, 1).float()
    mean = torch.tensor([123.675, 116.28, 103.53])[:, None, None]
    std = torch.tensor([58.395, 57.12, 57.375])[:, None, None]
    expected = pad((pixels - mean) / std, (0, 1024 - width, 0, 1024 - height))[None]
    found = sam_pixels(image, config)
    assert found.shape == (1, 3, 1024, 1024)
    assert float((found - expected).abs().max()) < 1e-5


@pytest.mark.parametrize("shape", [(30, 40), (90, 20), (64, 64), (1, 1), (3, 400)])
def test_masks_are_brought_back_as_in_the_original(shape: tuple[int, int]) -> None:
    config = toy_sam_config()
    logits = torch.randn(2, 32, 32, generator=torch.Generator().manual_seed(0))
    height, width = fitted_shape(*shape, 64)
    whole = interpolate(logits[:, None], (64, 64), mode="bilinear", align_corners=False)
    part = whole[..., :height, :width]
    expected = interpolate(part, shape, mode="bilinear", align_corners=False)[:, 0]
    found = logits_in_picture(logits, shape, config)
    assert found.shape == (2, *shape)
    assert torch.equal(found, expected)


def test_half_precision_is_widened_first() -> None:
    logits = torch.randn(1, 32, 32).to(torch.bfloat16)
    assert logits_in_picture(logits, (50, 20), toy_sam_config()).dtype == torch.float32
