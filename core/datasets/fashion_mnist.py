"""Fashion-MNIST (Xiao et al., 2017) in its own files, as Debian's `dataset-fashion-mnist` has them.

train-images-idx3-ubyte.gz    60,000 grey pictures of 28 x 28    train-labels-idx1-ubyte.gz
t10k-images-idx3-ubyte.gz     10,000                             t10k-labels-idx1-ubyte.gz
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlcd.core.datasets.labelled_set import LabelledSet
from mlcd.core.datasets.retrieval_set import LabelledImage

Split = Literal["train", "test"]
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
PREFIXES = {"train": "train", "test": "t10k"}
COUNTS = {"train": 60_000, "test": 10_000}
SIDE = 28  # pixels
_UNSIGNED_BYTES = 0x08


def read_fashion_mnist(split: Split, folder: str | Path = DEBIAN_FOLDER) -> LabelledSet:
    """The split; pictures are RGB uint8 (28, 28, 3) in memory, ids like `test-00042`.

    The digest covers every pixel and label. ValueError naming the file: missing, damaged, or not
    as many pictures of this size and these ten classes as were published.
    """
    if split not in PREFIXES:
        raise ValueError(f"split: expected train or test, got {split!r}")
    folder, prefix, count = Path(folder), PREFIXES[split], COUNTS[split]
    grey = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz", (count, SIDE, SIDE))
    path = folder / f"{prefix}-labels-idx1-ubyte.gz"
    labels = read_idx(path, (count,))
    if set(labels.tolist()) - set(range(len(CLASSES))):
        raise ValueError(f"{path}: expected labels 0 to {len(CLASSES) - 1}, got {labels.max()}")
    images = [
        # One grey channel seen three times: no memory beyond the grey picture's.
        LabelledImage(
            f"{split}-{i:05}", int(label), np.broadcast_to(picture[..., None], (SIDE, SIDE, 3))
        )
        for i, (picture, label) in enumerate(zip(grey, labels, strict=True))
    ]
    digest = sha256(grey.tobytes() + labels.tobytes()).hexdigest()
    return LabelledSet(f"fashion-mnist-{split}", CLASSES, images, digest)


def read_idx(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The bytes of a gzipped IDX file that must have this shape; no more of it is unpacked.

    Source: LeCun's description of the format: two zero bytes, the type, the number of dimensions,
    their lengths (big-endian), the numbers.
    """
    header = struct.pack(f">HBB{len(shape)}I", 0, _UNSIGNED_BYTES, len(shape), *shape)
    expected = f"bytes of shape {'x'.join(map(str, shape))} in IDX format"
    try:
        with gzip.open(path, "rb") as file:
            found = file.read(len(header))
            if found != header:
                raise ValueError(f"{path}: expected {expected}, its header is {found.hex(' ')}")
            data = file.read(math.prod(shape) + 1)
    except FileNotFoundError as error:
        raise ValueError(
            f"{path}: no such file; install Debian's dataset-fashion-mnist, or give the folder "
            f"with the four files"
        ) from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: damaged: {error}; copy it again") from error
    if len(data) != math.prod(shape):
        raise ValueError(f"{path}: expected {expected}, it holds {len(data):,} bytes or more")
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)
