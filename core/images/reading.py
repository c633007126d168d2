"""One picture from any source to RGB uint8 (H, W, 3). How colour modes become RGB: `modes.py`.

A colour profile (ICC) inside a picture is not applied: the towers were trained without it.
"""

from __future__ import annotations

import io
import stat
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import UnidentifiedImageError
from PIL.Image import Transpose

from mlcd.core.images.modes import to_rgb

Image = NDArray[np.uint8]
"""RGB uint8 (H, W, 3)."""

ImageSource = str | Path | bytes | BinaryIO | PIL.Image.Image | Image
"""A path, the bytes of a file, an open binary file, a Pillow picture, or an `Image` itself."""

MAX_PIXELS = 89_478_485
"""Width x height above which a picture is refused: Pillow's own limit, a quarter GiB of RGB."""

# Pillow would try forty formats, among them EPS, which it hands to Ghostscript to run.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")

_ORIENTATION = 0x0112  # the EXIF tag
_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
_SIDEWAYS = (Transpose.TRANSPOSE, Transpose.ROTATE_270, Transpose.TRANSVERSE, Transpose.ROTATE_90)
# What Pillow raises for a damaged EXIF block (LookupError: KeyError, IndexError).
_EXIF_ERRORS = (SyntaxError, ValueError, TypeError, LookupError, OSError, struct.error)


class ImageError(ValueError):
    """A picture that cannot be read: the message names it and says why."""


def read_image(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> Image:
    """The picture as RGB uint8 (H, W, 3), turned upright by its EXIF orientation.

    Transparency is laid on white; 16 bits a channel are scaled to 8; of an animation or a stack
    of pages the first is taken (of a Pillow picture the frame that it stands at). An open file is
    read from where it stands to its end. An array is checked and passed through, not copied.

    `ImageError` when the source is missing, a folder, empty, no JPEG, PNG, WebP, BMP, TIFF or
    GIF, damaged or cut short, or has more than `max_pixels` pixels, which is seen in the header
    before anything is decoded. (Pillow's own `PIL.Image.MAX_IMAGE_PIXELS` still holds: raise it
    too when `max_pixels` is set above twice its value.)
    """
    if isinstance(source, np.ndarray):
        return _checked_array(source)
    return np.array(read_picture(source, max_pixels=max_pixels))


def read_size(path: str | Path) -> tuple[int, int]:
    """(H, W) of a picture file as `read_image` gives it, from the header: nothing is decoded.

    `ImageError` when it is missing or no picture.
    """
    try:
        with PIL.Image.open(path, formats=_FORMATS) as picture:
            width, height = picture.size
            # Pillow turns the size of a TIFF by itself.
            turn = None if picture.format == "TIFF" else _TURNS.get(_orientation(picture))
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such file") from error
    except MemoryError:
        raise
    except Exception as error:  # damaged headers make the decoders raise almost anything
        raise ImageError(f"{path}: not a picture, or its header is damaged: {error}") from error
    return (width, height) if turn in _SIDEWAYS else (height, width)


def read_picture(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> PIL.Image.Image:
    """As `read_image`, but the picture as Pillow holds it: what `Preprocess` resamples.

    For the inside of this package: an array and back would be two copies more.
    """
    if isinstance(source, np.ndarray):
        return PIL.Image.fromarray(_checked_array(source))
    if isinstance(source, PIL.Image.Image):
        return _decoded(source, name="the Pillow picture", max_pixels=max_pixels)
    if isinstance(source, (str, Path)):
        return _from_path(Path(source), max_pixels=max_pixels)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _from_bytes(bytes(source), name="the bytes given", max_pixels=max_pixels)
    if hasattr(source, "read"):
        data = source.read()
        name = str(getattr(source, "name", "the open file"))
        if not isinstance(data, bytes):
            raise ImageError(f"{name}: expected a file opened in binary mode ('rb')")
        return _from_bytes(data, name=name, max_pixels=max_pixels)
    raise ImageError(
        "expected a path, bytes, an open binary file, a Pillow picture or an RGB uint8 array, "
        f"got {type(source).__name__}"
    )


def _from_path(path: Path, *, max_pixels: int) -> PIL.Image.Image:
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise ImageError(
                f"{path}: a folder, not a picture; list_images() gives the pictures in it"
            )
        if not stat.S_ISREG(kind):  # a pipe or device: opening it could wait for ever
            raise ImageError(f"{path}: not a regular file")
        with path.open("rb") as file:
            return _opened(file, name=str(path), max_pixels=max_pixels)
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such file") from error
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror or error}") from error


def _from_bytes(data: bytes, *, name: str, max_pixels: int) -> PIL.Image.Image:
    return _opened(io.BytesIO(data), name=name, max_pixels=max_pixels)


def _opened(file: BinaryIO, *, name: str, max_pixels: int) -> PIL.Image.Image:
    if not file.read(1):
        raise ImageError(f"{name}: empty (0 bytes)")
    file.seek(0)
    try:
        picture = PIL.Image.open(file, formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name}: not a JPEG, PNG, WebP, BMP, TIFF or GIF picture, or its header is damaged"
        ) from error
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name}: more pixels than Pillow's limit: {error}") from error
    except MemoryError:
        raise
    except Exception as error:  # damaged headers make the decoders raise almost anything
        raise ImageError(f"{name}: damaged header: {error}") from error
    with picture:
        return _decoded(picture, name=name, max_pixels=max_pixels)


def _decoded(picture: PIL.Image.Image, *, name: str, max_pixels: int) -> PIL.Image.Image:
    width, height = picture.size
    if width * height > max_pixels:
        raise ImageError(
            f"{name}: {width} x {height} is more than the limit of {max_pixels:,} pixels; "
            "make it smaller, or pass a larger max_pixels if you trust where it comes from"
        )
    if width * height == 0:
        raise ImageError(f"{name}: no pixels ({width} x {height})")
    try:
        picture.load()
    except MemoryError:
        raise
    except Exception as error:  # as above: the kind of exception says nothing
        raise ImageError(f"{name}: damaged or cut short: {error}") from error
    try:
        rgb = to_rgb(picture)
    except ValueError as error:
        raise ImageError(f"{name}: colour mode {picture.mode} has no RGB: {error}") from error
    turn = _TURNS.get(_orientation(picture))
    return rgb if turn is None else rgb.transpose(turn)


def _orientation(picture: PIL.Image.Image) -> int:
    """The EXIF orientation, 1 to 8. To be asked after `load`: for TIFF, loading turns already."""
    try:
        value = picture.getexif().get(_ORIENTATION, 1)
    except _EXIF_ERRORS:  # says nothing about the picture itself, and every viewer shows it
        return 1
    return value if isinstance(value, int) else 1


def _checked_array(image: NDArray[np.generic]) -> Image:
    is_image = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    if not is_image or image.size == 0:
        raise ImageError(
            "expected an RGB array of uint8 (H, W, 3) with at least one pixel, "
            f"got {image.dtype} {image.shape}"
        )
    return image.astype(np.uint8, copy=False)
