"""Pictures in shards, with texts and text embeddings, for the tests of this folder."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from mlcd.core.shards import ShardWriter

NUM_PICTURES, PER_SHARD, WIDTH = 50, 20, 8
UNREADABLE = (3, 20, 41)


def picture(number: int) -> bytes:
    """A picture of four colours of its own."""
    random = np.random.default_rng(number)
    colours = random.integers(0, 256, (2, 2, 3), dtype=np.uint8)
    data = io.BytesIO()
    PIL.Image.fromarray(colours).resize((24, 20), 0).save(data, "PNG")
    return data.getvalue()


def text_embedding(number: int) -> np.ndarray:
    """As long as a toy tower's embedding, and not normalised."""
    return np.random.default_rng(1_000 + number).normal(size=WIDTH).astype(np.float32) * 3


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """50 samples in shards of 20, of which three are no pictures."""
    with ShardWriter(tmp_path / "shards", PER_SHARD) as writer:
        for number in range(NUM_PICTURES):
            image = b"no picture" if number in UNREADABLE else picture(number)
            fields = {"n": number, "clip": text_embedding(number).tolist()}
            writer.write(image, suffix="png", text=f"t{number}", json=fields)
    return tmp_path / "shards"
