"""Pictures in: any source to RGB uint8 (H, W, 3), folders of them, and the pixels a tower takes."""

from mlcd.core.images.folder import SUFFIXES, list_images, read_images
from mlcd.core.images.preprocess import Preprocess
from mlcd.core.images.preprocess_settings import CLIP_MEAN, CLIP_STD
from mlcd.core.images.reading import (
    MAX_PIXELS,
    Image,
    ImageError,
    ImageSource,
    read_image,
    read_size,
)

__all__ = [
    "CLIP_MEAN",
    "CLIP_STD",
    "MAX_PIXELS",
    "SUFFIXES",
    "Image",
    "ImageError",
    "ImageSource",
    "Preprocess",
    "list_images",
    "read_image",
    "read_images",
    "read_size",
]
