"""Sound Hugging Face folders of towers, for tests that spoil them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.core.towers.toy_towers import random_tower

from mlcd.core.towers.huggingface import export_huggingface


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    export_huggingface(random_tower("clip"), tmp_path / "clip")
    return tmp_path / "clip"


@pytest.fixture
def rope2d(tmp_path: Path) -> Path:
    export_huggingface(random_tower("rope2d"), tmp_path / "rope2d")
    return tmp_path / "rope2d"
