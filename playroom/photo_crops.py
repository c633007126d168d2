"""Two halves of one photograph find each other: a measure of photographs that needs no labels.

From each photograph two squares that do not overlap, one for each half of its longer side; the
first asks, the second is found. Nothing of ours is trained on photographs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlcd.core.datasets.retrieval_set import LabelledImage, RetrievalSet
from mlcd.core.images import Image as Picture
from mlcd.core.images import ImageError, read_images

LEAST_SIDE = 96
"""Pixels a side of a crop below which a photograph is left out."""
MOST_OF_ONE_COLOUR = 0.2
"""Share of one colour from which a picture is a drawing, a page or a logo."""
SAME_SIGHT = 0.8
"""Cosine of two pictures' small grey versions from which they show the same."""
_SIZE = 256


def photo_crops_set(paths: Sequence[Path]) -> RetrievalSet:
    """First squares of the photographs among `paths` against their second ones.

    Left out: what cannot be read, is too small (`LEAST_SIDE`), is no photograph
    (`MOST_OF_ONE_COLOUR`), belongs to a numbered series (left01.jpg, left02.jpg) of which one is
    there, or shows what a photograph before it shows (`SAME_SIGHT`: other sizes of the same,
    stereo pairs). Squares are at most 256 pixels wide. ValueError when fewer than two are left.
    """
    queries: list[LabelledImage] = []
    gallery: list[LabelledImage] = []
    digest = hashlib.sha256()
    for label, (name, squares) in enumerate(_photographs(paths)):
        for side, images, square in zip("ab", (queries, gallery), squares, strict=True):
            digest.update(square.tobytes())
            images.append(LabelledImage(id=f"{side}/{label}/{name}", label=label, source=square))
    if len(gallery) < 2:
        raise ValueError(
            f"{len(gallery)} photographs among {len(paths)} files; a set needs at least 2"
        )
    return RetrievalSet(
        name="photo-crops", queries=queries, gallery=gallery, digest=digest.hexdigest()
    )


def _photographs(paths: Sequence[Path]) -> Iterable[tuple[str, tuple[Picture, Picture]]]:
    """Names and squares of what is not left out."""
    sights: list[NDArray[np.float32]] = []
    series: set[Path] = set()
    for path, (_, image) in zip(paths, read_images(paths), strict=True):
        whole_series = path.with_name(re.sub(r"(?<=[A-Za-z_-])\d+$", "", path.stem))
        if isinstance(image, ImageError) or whole_series in series:
            continue
        height, width = image.shape[:2]
        side = min(height, width, max(height, width) // 2)
        if side < LEAST_SIDE or _largest_share(image) > MOST_OF_ONE_COLOUR:
            continue
        sight = _sight(image)
        if any(float(sight @ other) >= SAME_SIGHT for other in sights):
            continue
        sights.append(sight)
        series.add(whole_series)
        yield path.name, _squares(image, side)


def _squares(image: Picture, side: int) -> tuple[Picture, Picture]:
    """The squares in the middle of both halves, (S, S, 3) with S at most 256."""
    height, width = image.shape[:2]
    is_wide = width >= height
    squares: list[Picture] = []
    for quarter in (1, 3):
        x, y = (
            (quarter * width // 4, height // 2) if is_wide else (width // 2, quarter * height // 4)
        )
        left, top = x - side // 2, y - side // 2
        square = Image.fromarray(image[top : top + side, left : left + side])
        if side > _SIZE:
            square = square.resize((_SIZE, _SIZE), Image.Resampling.BICUBIC, reducing_gap=3.0)
        squares.append(np.asarray(square))
    return squares[0], squares[1]


def _largest_share(image: Picture) -> float:
    """Share of the most frequent of 4,096 colours, of a reduced picture.

    Reduced without mixing: the border of a drawing must not become a colour of its own.
    """
    small = image[:: max(1, len(image) // 128), :: max(1, image.shape[1] // 128)]
    levels = (small >> 4).reshape(-1, 3).astype(np.int64)
    counts = np.bincount(levels @ (256, 16, 1))
    return float(counts.max() / counts.sum())


def _sight(image: Picture) -> NDArray[np.float32]:
    """A small grey version without its mean, of length 1: (256,)."""
    small = Image.fromarray(image).convert("L").resize((16, 16), Image.Resampling.BOX)
    values = np.asarray(small, np.float32).ravel()
    values = values - values.mean()
    return np.asarray(values / max(float(np.linalg.norm(values)), 1e-6))
