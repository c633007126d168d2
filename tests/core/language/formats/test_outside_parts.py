"""A tower that a configuration names is found where models are found, without any download."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants
from tests.core.language.formats.folders import llava_next_folder
from tests.core.towers.toy_towers import random_tower, toy_config

from mlcd.core.language.formats.outside_parts import tower_from_shapes, tower_nearby
from mlcd.core.language.formats.recognise import recognise
from mlcd.core.models import embedded_models
from mlcd.core.towers import load_tower
from mlcd.core.towers.huggingface import export_huggingface
from mlcd.core.towers.naming import HUGGINGFACE


def test_a_tower_that_the_hub_gave_before_is_found_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    cached = tmp_path / "cache" / "models--some--tower"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    export_huggingface(random_tower("clip", norm_eps=1e-3), cached / "snapshots" / ("0" * 40))
    found = tower_nearby("some/tower", tmp_path)
    assert found == toy_config("clip", norm_eps=1e-3)
    assert tower_nearby("some/other", tmp_path) is None


def test_an_embedded_tower_is_found_by_its_whole_name_alone(tmp_path: Path) -> None:
    name = next(name for name, path in embedded_models().items() if "tiny" in path.name)
    assert tower_nearby(name, tmp_path) == load_tower(name).config
    assert tower_nearby(f"elsewhere/{name}", tmp_path) is None


def test_a_tower_within_the_folder_comes_first(tmp_path: Path) -> None:
    llava_next_folder(tmp_path / "model")
    export_huggingface(
        random_tower("clip", norm_eps=1e-3), tmp_path / "model" / "vision_tower", overwrite=True
    )
    source = recognise(tmp_path / "model")
    assert source.config.tower.norm_eps == 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 1280, "num_heads": 16}, "of width 1280, do not tell heads and image size"),
        ({"width": 96, "num_heads": 2}, "of width 96, do not tell heads"),
    ],
)
def test_heads_are_not_guessed(changes: dict[str, int], message: str) -> None:
    """CLIP's H/14 has heads of 80."""
    state = HUGGINGFACE.publish(random_tower("clip", depth=1, **changes).state_dict())
    with pytest.raises(ValueError, match=message):
        tower_from_shapes({key: tuple(value.shape) for key, value in state.items()}, None)
