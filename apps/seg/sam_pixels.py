"""Pictures into the square that a SAM looks at, and its mask logits back in the picture's own size.

As published (`segment_anything`'s `ResizeLongestSide`, `Sam.preprocess`, `Sam.postprocess_masks`).
"""

from __future__ import annotations

import numpy as np
import torch
from PIL.Image import Resampling
from torch import Tensor
from torch.nn.functional import interpolate

from mlcd.apps.seg.sam_config import SamConfig
from mlcd.core.images import ImageSource
from mlcd.core.images.reading import read_picture


def fitted_shape(height: int, width: int, side: int) -> tuple[int, int]:
    """(height, width) with the longer one brought to `side`, at least one pixel each."""
    scale = side / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def sam_pixels(image: ImageSource, config: SamConfig) -> Tensor:
    """A picture as the image encoder takes it: uint8 (H, W, 3) -> float32 (1, 3, S, S).

    Longer side to S (bilinear), normalised, zeros to the right and below. `ImageError` when it
    cannot be read.
    """
    picture = read_picture(image)
    height, width = fitted_shape(picture.height, picture.width, config.image_size)
    resized = np.asarray(picture.resize((width, height), Resampling.BILINEAR), dtype=np.float32)
    pixels = np.zeros((3, config.image_size, config.image_size), dtype=np.float32)
    mean, std = (np.asarray(values, dtype=np.float32) for values in (config.mean, config.std))
    pixels[:, :height, :width] = ((resized - mean) / std).transpose(2, 0, 1)
    return torch.from_numpy(pixels)[None]


def logits_in_picture(logits: Tensor, shape: tuple[int, int], config: SamConfig) -> Tensor:
    """Mask logits in the size of the picture: (M, s, s), shape (H, W) -> float32 (M, H, W)."""
    side = config.image_size
    height, width = fitted_shape(*shape, side)
    whole = _resized(logits.float(), (side, side))
    return _resized(whole[:, :height, :width], shape)


def _resized(logits: Tensor, shape: tuple[int, int]) -> Tensor:
    return interpolate(logits[:, None], shape, mode="bilinear", align_corners=False)[:, 0]
