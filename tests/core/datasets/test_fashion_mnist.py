"""The IDX reader takes the published files byte for byte and unpacks nothing that is more."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mlcd.core.datasets import fashion_mnist
from mlcd.core.datasets.fashion_mnist import DEBIAN_FOLDER, read_fashion_mnist, read_idx
from mlcd.core.images import read_image


def write_idx(path: Path, array: np.ndarray, *, extra: bytes = b"") -> None:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes() + extra))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six training and four test pictures in the published layout."""
    monkeypatch.setattr(fashion_mnist, "COUNTS", {"train": 6, "test": 4})
    draw = np.random.default_rng(0)
    for prefix, count in (("train", 6), ("t10k", 4)):
        pixels = draw.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte.gz", pixels)
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte.gz", np.arange(count) * 2 % 10)
    return tmp_path


def test_pictures_labels_and_ids_come_in_the_order_of_the_files(folder: Path) -> None:
    found = read_fashion_mnist("test", folder)
    assert found.name == "fashion-mnist-test"
    assert [image.id for image in found.images] == [f"test-{i:05}" for i in range(4)]
    assert [image.label for image in found.images] == [0, 2, 4, 6]
    assert found.classes[2] == "Pullover"
    data = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    grey = np.frombuffer(data, dtype=np.uint8).reshape(4, 28, 28)
    image = read_image(found.images[3].source)
    assert image.shape == (28, 28, 3)
    assert (image == grey[3, :, :, None]).all()


def test_the_digest_is_of_the_content_and_not_of_the_packing(folder: Path) -> None:
    path = folder / "t10k-labels-idx1-ubyte.gz"
    before = read_fashion_mnist("test", folder).digest
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=1, mtime=7))
    assert read_fashion_mnist("test", folder).digest == before
    write_idx(path, np.array([0, 2, 4, 7]))
    assert read_fashion_mnist("test", folder).digest != before


def test_what_is_not_the_published_set_is_refused(folder: Path) -> None:
    labels = folder / "t10k-labels-idx1-ubyte.gz"
    write_idx(labels, np.array([0, 1, 2, 10]))
    with pytest.raises(ValueError, match="expected labels 0 to 9, got 10"):
        read_fashion_mnist("test", folder)
    write_idx(labels, np.array([0, 1, 2]))
    with pytest.raises(ValueError, match="expected bytes of shape 4 in IDX format"):
        read_fashion_mnist("test", folder)
    labels.unlink()
    with pytest.raises(ValueError, match="install Debian's dataset-fashion-mnist"):
        read_fashion_mnist("test", folder)


@pytest.mark.parametrize("damage", ["cut", "no gzip", "flipped", "short", "long"])
def test_a_damaged_file_is_named(folder: Path, damage: str) -> None:
    path = folder / "train-images-idx3-ubyte.gz"
    data = path.read_bytes()
    pixels = np.zeros((6, 28, 28))
    if damage == "cut":
        path.write_bytes(data[:-50])
    elif damage == "no gzip":
        path.write_bytes(b"<html>not found</html>")
    elif damage == "flipped":
        path.write_bytes(data[:200] + bytes([data[200] ^ 255]) + data[201:])
    elif damage == "short":
        header = struct.pack(">HBBIII", 0, 8, 3, 6, 28, 28)
        path.write_bytes(gzip.compress(header + bytes(100)))
    else:
        write_idx(path, pixels, extra=b"x")
    with pytest.raises(ValueError, match="train-images"):
        read_fashion_mnist("train", folder)


def test_a_file_that_swells_when_unpacked_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    write_idx(path, np.zeros(8), extra=bytes(200_000_000))
    tracemalloc.start()
    with pytest.raises(ValueError, match="holds 9 bytes or more"):
        read_idx(path, (8,))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.slow
@pytest.mark.skipif(not DEBIAN_FOLDER.is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_the_published_files_have_as_many_pictures_of_each_class() -> None:
    for split, count in (("train", 6000), ("test", 1000)):
        found = read_fashion_mnist(split, DEBIAN_FOLDER)  # type: ignore[arg-type]
        labels = [image.label for image in found.images]
        assert np.bincount(labels).tolist() == [count] * 10
