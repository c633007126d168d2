"""A folder of pictures for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Fifty readable pictures, `a/00.png` to `b/49.jpg`, each with its own colours."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    for index in range(50):
        path = (
            folder / ("a" if index < 30 else "b") / f"{index:02}{'.png' if index < 30 else '.jpg'}"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        small = rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)
        PIL.Image.fromarray(small).resize((24, 20), 0).save(path)
    return folder
