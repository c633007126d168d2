"""Every colour mode that Pillow decodes to, as RGB uint8."""

from __future__ import annotations

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageChops


def to_rgb(picture: PIL.Image.Image) -> PIL.Image.Image:
    """A loaded picture of any mode as RGB, with transparency laid on white; RGB itself as it is.

    ValueError when Pillow knows no way from the mode to RGB.
    """
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return PIL.Image.fromarray(_from_deep_grey(picture)).convert("RGB")
    if picture.has_transparency_data:
        white = PIL.Image.new("RGBA", picture.size, "white")
        return PIL.Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    if picture.mode == "CMYK" and picture.format == "JPEG" and "adobe" not in picture.info:
        # Adobe stores inks inverted and marks the file. Pillow inverts every CMYK JPEG.
        picture = ImageChops.invert(picture)
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _from_deep_grey(picture: PIL.Image.Image) -> NDArray[np.uint8]:
    """Grey of 16 or 32 bits or float as uint8 (H, W): scaled, not clipped as Pillow's convert."""
    values = np.asarray(picture)
    is_16_bit = picture.mode.startswith("I;16") or (
        picture.mode == "I" and picture.format == "PNG"  # what Pillow before 11 makes of it
    )
    scaled = values.astype(np.float32)
    if is_16_bit:
        scaled /= 257.0  # 65535 -> 255
    else:
        scaled = _scaled_to_bytes(scaled)
    grey = np.rint(scaled).astype(np.uint8)
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int):  # PNG: the one value that stands for "nothing here"
        grey[values == transparent] = 255
    return grey


def _scaled_to_bytes(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values without a stated white point, in 0..255.

    The smallest usual range that holds them all is taken for theirs: 0..1 (fractions), 0..255,
    0..65535; anything else is stretched from its least to its greatest value. What is not finite
    becomes black.
    """
    is_finite = np.isfinite(values)
    if not is_finite.any():
        return np.zeros_like(values)
    low, high = float(values[is_finite].min()), float(values[is_finite].max())
    known = next((top for top in (1.0, 255.0, 65535.0) if low >= 0 and high <= top), None)
    if known is not None:
        low, high = 0.0, known
    elif high == low:
        high = low + 1.0
    # Halved first: high - low of the whole float32 range would overflow.
    return np.where(is_finite, (values / 2 - low / 2) * (255.0 / (high / 2 - low / 2)), 0.0)
