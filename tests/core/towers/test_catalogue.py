"""Which towers there are is told without torch, and without those that are no towers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.core.towers.toy_towers import random_tower

from mlcd.core.towers import catalogue, save_tower
from mlcd.core.towers.catalogue import embedded_towers


def test_the_catalogue_needs_no_torch() -> None:
    program = (
        "import sys; from mlcd.core.towers.catalogue import embedded_towers, published_sizes; "
        "assert embedded_towers() and published_sizes(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_embedded_models_of_other_kinds_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_tower(random_tower("unicom"), tmp_path / "tower")
    (tmp_path / "language").mkdir()
    (tmp_path / "language" / "config.json").write_text(json.dumps({"kind": "language"}))
    folders = {path.name: path for path in tmp_path.iterdir()}
    monkeypatch.setattr(catalogue, "embedded_models", lambda: folders)
    assert embedded_towers() == {"tower": random_tower("unicom").config}
